"""The tables of the catalogue, version 1.

    roots 1-n folders 1-n photos n-1 contents 1-n embeddings n-1 models

A photo is a file at a path; a content is what its bytes say, found by their hash. Copies and moved
photos share one content and so one embedding for each model. `contents.live_photos` counts the
photos of a content that are not missing; the code that changes photos keeps it right, in the same
transaction. Ids of contents and embeddings are never used twice (AUTOINCREMENT), so that a
snapshot can never take a new row for an old one.

`generations` names every committed change with a random stamp: a snapshot made from generation g
with stamp s belongs to this history if, and only if, that pair is in the table. Restoring a backup
cannot fool it, as counting alone could.
"""

# "CLIP" as four bytes: tells a catalogue from any other SQLite file.
APPLICATION_ID = 0x434C4950

# Path and name are bytes: a file system's names need not be UTF-8.
# photos.checksum covers the absolute path and the content's hash: a damaged row cannot pair
# a photo with another's content unnoticed. embeddings.checksum does the same for vectors.
TABLES = (
    """CREATE TABLE models (
        id INTEGER PRIMARY KEY,
        fingerprint TEXT NOT NULL UNIQUE,
        info TEXT NOT NULL
    ) STRICT""",
    """CREATE TABLE meta (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        library_id TEXT NOT NULL,
        active_model INTEGER REFERENCES models (id),
        erased_generation INTEGER NOT NULL DEFAULT 0
    ) STRICT""",
    """CREATE TABLE generations (
        generation INTEGER PRIMARY KEY,
        stamp BLOB NOT NULL
    ) STRICT""",
    """CREATE TABLE roots (
        id INTEGER PRIMARY KEY,
        path BLOB NOT NULL UNIQUE,
        device INTEGER NOT NULL,
        inode INTEGER NOT NULL,
        added_at REAL NOT NULL,
        scanned_at REAL
    ) STRICT""",
    """CREATE TABLE folders (
        id INTEGER PRIMARY KEY,
        root_id INTEGER NOT NULL REFERENCES roots (id),
        path BLOB NOT NULL,
        UNIQUE (root_id, path)
    ) STRICT""",
    """CREATE TABLE contents (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        hash BLOB NOT NULL UNIQUE,
        format TEXT NOT NULL,
        width INTEGER NOT NULL,
        height INTEGER NOT NULL,
        taken_at TEXT,
        camera TEXT,
        latitude REAL,
        longitude REAL,
        live_photos INTEGER NOT NULL DEFAULT 0
    ) STRICT""",
    "CREATE INDEX dead_contents ON contents (live_photos) WHERE live_photos = 0",
    """CREATE TABLE photos (
        id INTEGER PRIMARY KEY,
        folder_id INTEGER NOT NULL REFERENCES folders (id),
        name BLOB NOT NULL,
        size INTEGER NOT NULL,
        mtime_ns INTEGER NOT NULL,
        ctime_ns INTEGER NOT NULL,
        inode INTEGER NOT NULL,
        device INTEGER NOT NULL,
        content_id INTEGER REFERENCES contents (id),
        problem_kind TEXT,
        problem TEXT,
        missing_since REAL,
        checksum INTEGER NOT NULL,
        UNIQUE (folder_id, name),
        CHECK ((content_id IS NULL) <> (problem_kind IS NULL))
    ) STRICT""",
    "CREATE INDEX photos_by_content ON photos (content_id, missing_since)",
    """CREATE INDEX photos_with_problem ON photos (problem_kind)
        WHERE problem_kind IS NOT NULL""",
    "CREATE INDEX photos_missing ON photos (missing_since) WHERE missing_since IS NOT NULL",
    """CREATE TABLE embeddings (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        model_id INTEGER NOT NULL REFERENCES models (id),
        content_id INTEGER NOT NULL REFERENCES contents (id),
        checksum INTEGER NOT NULL,
        vector BLOB NOT NULL,
        UNIQUE (content_id, model_id)
    ) STRICT""",
    "CREATE INDEX embeddings_by_model ON embeddings (model_id)",
)
