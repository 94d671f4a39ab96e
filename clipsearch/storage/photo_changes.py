"""Changing photos: what was read, what failed, what went missing, came back or moved.

Each function belongs inside one transaction, and leaves `contents.live_photos` right.
"""

from collections.abc import Sequence

from clipsearch.storage.connection import Connection
from clipsearch.storage.decoding import decoding
from clipsearch.storage.id_lists import id_list
from clipsearch.storage.liveness import refresh_live
from clipsearch.storage.records import (
    FailedPhoto,
    IndexedPhoto,
    join_path,
    photo_checksum,
    stat_to_columns,
    storable_text,
)
from clipsearch.storage.root_rows import folder_id
from clipsearch.types import PhotoRead

_WRITE = """INSERT INTO photos (folder_id, name, size, mtime_ns, ctime_ns, inode, device,
        content_id, problem_kind, problem, missing_since, checksum)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, NULL, ?)
    ON CONFLICT (folder_id, name) DO UPDATE SET
        size = excluded.size, mtime_ns = excluded.mtime_ns, ctime_ns = excluded.ctime_ns,
        inode = excluded.inode, device = excluded.device, content_id = excluded.content_id,
        problem_kind = excluded.problem_kind, problem = excluded.problem,
        missing_since = NULL, checksum = excluded.checksum"""


def write_photos(
    connection: Connection, photos: Sequence[IndexedPhoto], failed: Sequence[FailedPhoto]
) -> dict[bytes, int]:
    """Write the rows of read and failed files, over earlier rows of the same files.

    The content ids of the read ones by content hash. Raises ValueError for a photo without facts
    whose content is not known.
    """
    places = _Places(connection)
    contents = {photo.read.content_hash: _content_id(connection, photo.read) for photo in photos}
    touched = set(contents.values())
    rows: list[tuple[object, ...]] = []
    for photo in photos:
        folder, path, before = places.of(photo)
        touched |= before
        stat = stat_to_columns(photo.read.stat)
        checksum = photo_checksum(path, photo.read.content_hash)
        content = contents[photo.read.content_hash]
        rows.append((folder, photo.name, *stat, content, None, None, checksum))
    for failure in failed:
        folder, path, before = places.of(failure)
        touched |= before
        stat = stat_to_columns(failure.problem.stat)
        problem = (storable_text(failure.problem.kind), storable_text(failure.problem.reason))
        rows.append((folder, failure.name, *stat, None, *problem, photo_checksum(path, None)))
    connection.change_many(_WRITE, rows)
    refresh_live(connection, touched)
    return contents


def mark_missing(connection: Connection, photo_ids: Sequence[int], when: float) -> int:
    """Record since when photos are missing; those that already are keep their earlier time."""
    changed = connection.change(
        "UPDATE photos SET missing_since = ? WHERE missing_since IS NULL "
        "AND id IN (SELECT value FROM json_each(?))",
        (when, id_list(photo_ids)),
    )
    refresh_live(connection, _contents_of(connection, photo_ids))
    return changed


def mark_present(connection: Connection, photo_ids: Sequence[int]) -> int:
    """Record that photos are there again."""
    changed = connection.change(
        "UPDATE photos SET missing_since = NULL WHERE missing_since IS NOT NULL "
        "AND id IN (SELECT value FROM json_each(?))",
        (id_list(photo_ids),),
    )
    refresh_live(connection, _contents_of(connection, photo_ids))
    return changed


def doubt_photos(connection: Connection, photo_ids: Sequence[int]) -> int:
    """Forget by which facts photos are recognised as unchanged, so that they are read again.

    The size stays: by it a scan tells the right disk from another one.
    """
    return connection.change(
        "UPDATE photos SET mtime_ns = 0, ctime_ns = 0, inode = 0 "
        "WHERE id IN (SELECT value FROM json_each(?))",
        (id_list(photo_ids),),
    )


def delete_photos(connection: Connection, photo_ids: Sequence[int]) -> int:
    """Delete rows of files that are proved to have moved. Contents and embeddings stay."""
    contents = _contents_of(connection, photo_ids)
    deleted = connection.change(
        "DELETE FROM photos WHERE id IN (SELECT value FROM json_each(?))", (id_list(photo_ids),)
    )
    refresh_live(connection, contents)
    return deleted


def moved_photos(connection: Connection, photo_ids: Sequence[int], last_photo_id: int) -> list[int]:
    """Those of the given photos whose content arrived somewhere else after row `last_photo_id`.

    One arrival takes the place of one photo: of two vanished copies and one new one, one moved.
    """
    arrivals: dict[int, int] = dict(
        connection.rows(
            """SELECT content_id, count(*) FROM photos
            WHERE id > ? AND missing_since IS NULL AND content_id IS NOT NULL
            GROUP BY content_id""",
            (last_photo_id,),
        )
    )
    moved = []
    for photo_id, content_id in connection.rows(
        "SELECT id, content_id FROM photos WHERE id IN (SELECT value FROM json_each(?))",
        (id_list(photo_ids),),
    ):
        if arrivals.get(content_id, 0):
            arrivals[content_id] -= 1
            moved.append(photo_id)
    return moved


class _Places:
    """Finds where files lie. Each folder is looked up once in a transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._folders: dict[tuple[int, bytes], int] = {}
        with decoding(connection):
            self._roots: dict[int, bytes] = {
                row[0]: b"" + row[1] for row in connection.rows("SELECT id, path FROM roots")
            }

    def of(self, photo: IndexedPhoto | FailedPhoto) -> tuple[int, bytes, set[int]]:
        """Folder id, absolute path, and the content that the file had until now, if any."""
        key = photo.root_id, photo.folder
        if key not in self._folders:
            self._folders[key] = folder_id(self._connection, *key)
        folder = self._folders[key]
        before = self._connection.value(
            "SELECT content_id FROM photos WHERE folder_id = ? AND name = ?", (folder, photo.name)
        )
        path = join_path(self._roots[photo.root_id], photo.folder, photo.name)
        return folder, path, set() if before is None else {before}


def _content_id(connection: Connection, read: PhotoRead) -> int:
    found = connection.value("SELECT id FROM contents WHERE hash = ?", (read.content_hash,))
    if found is not None:
        return int(found)
    facts = read.facts
    if facts is None:
        raise ValueError(f"{read.path!r} has no facts, and its content is not known")
    return connection.insert(
        """INSERT INTO contents (hash, format, width, height, taken_at, camera, latitude, longitude)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?)""",
        (
            read.content_hash,
            storable_text(facts.format),
            facts.width,
            facts.height,
            None if facts.taken_at is None else facts.taken_at.isoformat(),
            None if facts.camera is None else storable_text(facts.camera),
            facts.latitude,
            facts.longitude,
        ),
    )


def _contents_of(connection: Connection, photo_ids: Sequence[int]) -> list[int]:
    return [
        row[0]
        for row in connection.rows(
            "SELECT DISTINCT content_id FROM photos WHERE content_id IS NOT NULL "
            "AND id IN (SELECT value FROM json_each(?))",
            (id_list(photo_ids),),
        )
    ]
