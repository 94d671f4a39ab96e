"""The tables of the catalogue, version 2.

    roots 1-n folders 1-n photos n-1 contents 1-n embeddings n-1 models
    concepts 1-n concept_photos; for each model: concept_embeddings, concept_classifiers

A photo is a file at a path; a content is what its bytes say, found by their hash. Copies and moved
photos share one content and so one embedding for each model. `contents.live_photos` counts the
photos of a content that are not missing; the code that changes photos keeps it right, in the same
transaction. Ids of contents and embeddings are never used twice (AUTOINCREMENT), so that a
snapshot can never take a new row for an old one.

`generations` names every committed change with a random stamp: a snapshot made from generation g
with stamp s belongs to this history if, and only if, that pair is in the table. Restoring a backup
cannot fool it, as counting alone could.

A concept (version 2) is a name that was taught with photos. What it was taught with is kept by
content hash, apart from `contents`: those photos need not be in any root, and stay an example when
their root is forgotten. So is their embedding by each model, from which the concept can be learned
again. `concept_classifiers` is what was learned: one row for a concept, one for each label of a set
of labels.
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

# concepts.key is the name without regard to case (SQLite's NOCASE knows only A to Z).
# concept_photos.label is '' unless the concept is a set of labels.
# concept_classifiers: the odds of a photo with unit vector x are exp(x . weights + bias).
CONCEPT_TABLES = (
    """CREATE TABLE concepts (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        name TEXT NOT NULL,
        key TEXT NOT NULL UNIQUE,
        kind TEXT NOT NULL CHECK (kind IN ('one', 'labels')),
        words TEXT,
        taught_at REAL NOT NULL
    ) STRICT""",
    """CREATE TABLE concept_photos (
        id INTEGER PRIMARY KEY,
        concept_id INTEGER NOT NULL REFERENCES concepts (id) ON DELETE CASCADE,
        hash BLOB NOT NULL CHECK (length(hash) = 32),
        path BLOB NOT NULL,
        label TEXT NOT NULL,
        is_example INTEGER NOT NULL CHECK (is_example IN (0, 1)),
        UNIQUE (concept_id, hash)
    ) STRICT""",
    "CREATE INDEX concept_photos_by_hash ON concept_photos (hash)",
    """CREATE TABLE concept_embeddings (
        id INTEGER PRIMARY KEY,
        model_id INTEGER NOT NULL REFERENCES models (id),
        hash BLOB NOT NULL CHECK (length(hash) = 32),
        checksum INTEGER NOT NULL,
        vector BLOB NOT NULL,
        UNIQUE (hash, model_id)
    ) STRICT""",
    """CREATE TABLE concept_classifiers (
        id INTEGER PRIMARY KEY,
        concept_id INTEGER NOT NULL REFERENCES concepts (id) ON DELETE CASCADE,
        model_id INTEGER NOT NULL REFERENCES models (id),
        label TEXT NOT NULL,
        weights BLOB NOT NULL,
        bias REAL NOT NULL,
        checksum INTEGER NOT NULL,
        UNIQUE (concept_id, model_id, label)
    ) STRICT""",
)
