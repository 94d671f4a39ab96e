"""Reading photos: one folder, one path, the photos of some contents, the problems."""

import os
from collections.abc import Iterator, Sequence
from typing import Any

from clipsearch.errors import DamageError
from clipsearch.storage.connection import Connection
from clipsearch.storage.decoding import decodes
from clipsearch.storage.faults import damaged
from clipsearch.storage.filters import conditions_but_folders, folder_passes
from clipsearch.storage.id_lists import id_list
from clipsearch.storage.records import (
    IndexedFile,
    KnownPhoto,
    LibraryCounts,
    PhotoRecord,
    PhotoRow,
    ProblemRow,
    Root,
    facts_from_columns,
    join_path,
    photo_checksum,
    photo_checksum_start,
    stat_from_columns,
)
from clipsearch.types import Ids, PhotoFacts, PhotoFilter

_FILES_AT_ONCE = 4096
_PHOTO = """SELECT p.id, r.path, f.path, p.name, p.checksum, p.missing_since IS NOT NULL,
    p.size, p.mtime_ns, p.ctime_ns, p.inode, p.device,
    c.id, c.hash, c.format, c.width, c.height, c.taken_at, c.camera, c.latitude, c.longitude
    FROM photos p JOIN folders f ON f.id = p.folder_id JOIN roots r ON r.id = f.root_id
    JOIN contents c ON c.id = p.content_id"""


@decodes
def photos_in_folder(
    connection: Connection, root_id: int, folder: bytes, model_id: int
) -> dict[bytes, KnownPhoto]:
    """All rows of one folder by file name: one query on an index.

    A row that does not fit its content counts as not embedded, so that a scan reads the file again
    and so repairs the row.
    """
    root = connection.value("SELECT path FROM roots WHERE id = ?", (root_id,))
    rows = connection.rows(
        """SELECT p.name, p.id, p.size, p.mtime_ns, p.ctime_ns, p.inode, p.device, p.content_id,
            e.id IS NOT NULL, p.problem_kind, p.missing_since IS NOT NULL, p.checksum, c.hash
        FROM photos p LEFT JOIN contents c ON c.id = p.content_id
            LEFT JOIN embeddings e ON e.content_id = p.content_id AND e.model_id = ?
        WHERE p.folder_id = (SELECT id FROM folders WHERE root_id = ? AND path = ?)""",
        (model_id, root_id, folder),
    )
    # The checksum of a path continues from that of the folder, so each costs only its name.
    start = photo_checksum_start(root, folder) if rows else 0
    return {
        name: KnownPhoto(
            photo_id,
            stat_from_columns(size, mtime, ctime, inode, device),
            content_id,
            bool(embedded) and photo_checksum(name, content_hash, start) == checksum,
            kind,
            bool(missing),
        )
        for (
            name, photo_id, size, mtime, ctime, inode, device, content_id,
            embedded, kind, missing, checksum, content_hash,
        ) in rows
    }  # fmt: skip


@decodes
def photo_at(connection: Connection, path: bytes) -> PhotoRow | None:
    """The row of a photo by absolute path, missing or not; None for a file with a problem.

    Raises DamageError when the row does not fit its content.
    """
    for root_id, root in connection.rows("SELECT id, path FROM roots"):
        inside = root.rstrip(os.sep.encode()) + os.sep.encode()
        if not path.startswith(inside):
            continue
        folder, name = os.path.split(path[len(inside) :])
        found = connection.row(
            f"{_PHOTO} WHERE r.id = ? AND f.path = ? AND p.name = ?", (root_id, folder, name)
        )
        if found is not None:
            return _photo(connection, *found)
    return None


def record_at(connection: Connection, path: bytes) -> PhotoRecord | None:
    """All that is stored about an absolute path: missing, with a problem, or neither.

    Raises DamageError when the row does not fit its content.
    """
    folder, name = os.path.split(path)
    for root_id, root in connection.rows("SELECT id, path FROM roots"):
        inside = os.path.join(root, b"")
        if not os.path.join(folder, b"").startswith(inside):
            continue
        found = connection.row(
            """SELECT p.id, p.size, p.mtime_ns, p.ctime_ns, p.inode, p.device, p.missing_since,
                p.problem_kind, p.problem, p.checksum, c.id, c.hash, c.format, c.width, c.height,
                c.taken_at, c.camera, c.latitude, c.longitude
            FROM photos p JOIN folders f ON f.id = p.folder_id
                LEFT JOIN contents c ON c.id = p.content_id
            WHERE f.root_id = ? AND f.path = ? AND p.name = ?""",
            (root_id, folder[len(inside) :], name),
        )
        if found is not None:
            return _record(connection, path, root, *found)
    return None


def indexed_files(connection: Connection) -> Iterator[IndexedFile]:
    """Every photo that is not missing, by row id."""
    for rows in connection.pages(
        """SELECT p.id, r.id, r.path, f.path, p.name, c.hash,
            p.size, p.mtime_ns, p.ctime_ns, p.inode, p.device
        FROM photos p JOIN folders f ON f.id = p.folder_id JOIN roots r ON r.id = f.root_id
            JOIN contents c ON c.id = p.content_id
        WHERE p.missing_since IS NULL AND p.id > ? ORDER BY p.id""",
        (),
        0,
        _FILES_AT_ONCE,
    ):
        for photo_id, root_id, root, folder, name, content_hash, *stat in rows:
            path = join_path(root, folder, name)
            yield IndexedFile(photo_id, root_id, path, stat_from_columns(*stat), content_hash)


def live_paths(connection: Connection, root: Root) -> Iterator[bytes]:
    """The paths of a root's photos that are not missing, some at a time."""
    for rows in connection.pages(
        """SELECT p.id, f.path, p.name FROM photos p JOIN folders f ON f.id = p.folder_id
        WHERE f.root_id = ? AND p.missing_since IS NULL AND p.id > ?
        ORDER BY p.id""",
        (root.root_id,),
        0,
        _FILES_AT_ONCE,
    ):
        yield from (join_path(root.path, folder, name) for _, folder, name in rows)


def paths_of(connection: Connection, content_id: int) -> list[tuple[bytes, bool]]:
    """All paths that have, or had, one content, and whether each is missing; by path."""
    return sorted(
        (join_path(root, folder, name), bool(missing))
        for root, folder, name, missing in connection.rows(
            """SELECT r.path, f.path, p.name, p.missing_since IS NOT NULL
            FROM photos p JOIN folders f ON f.id = p.folder_id JOIN roots r ON r.id = f.root_id
            WHERE p.content_id = ?""",
            (content_id,),
        )
    )


@decodes
def photos_of(
    connection: Connection, content_ids: Ids, wanted: PhotoFilter | None
) -> dict[int, list[PhotoRow]]:
    """The live photos of some contents that pass the filter, sorted by path.

    Raises DamageError when a row does not fit its content.
    """
    where, parameters = conditions_but_folders(wanted or PhotoFilter())
    passes = folder_passes(wanted or PhotoFilter())
    found: dict[int, list[PhotoRow]] = {}
    for photo_id, root, folder, *rest in connection.rows(
        f"{_PHOTO} WHERE c.id IN (SELECT value FROM json_each(?)) AND {where}",
        (id_list(content_ids), *parameters),
    ):
        if passes(root, folder):
            photo = _photo(connection, photo_id, root, folder, *rest)
            found.setdefault(photo.content_id, []).append(photo)
    for photos in found.values():
        photos.sort(key=_by_path)
    return found


def problems(connection: Connection, kind: str | None) -> Iterator[ProblemRow]:
    """Files that could not be used and are still there, by kind and path."""
    rows = connection.rows(
        """SELECT p.id, r.path, f.path, p.name, p.problem_kind, p.problem
        FROM photos p JOIN folders f ON f.id = p.folder_id JOIN roots r ON r.id = f.root_id
        WHERE p.problem_kind IS NOT NULL AND p.missing_since IS NULL
            AND (?1 IS NULL OR p.problem_kind = ?1)
        ORDER BY p.problem_kind, r.path, f.path, p.name""",
        (kind,),
    )
    for photo_id, root, folder, name, problem_kind, problem in rows:
        yield ProblemRow(photo_id, join_path(root, folder, name), problem_kind, problem)


@decodes
def counts(connection: Connection, model_id: int | None) -> LibraryCounts:
    """How much the library holds; `embedded` by this model."""
    contents, photos = connection.row(
        "SELECT count(*), total(live_photos) FROM contents WHERE live_photos > 0"
    ) or (0, 0)
    embedded = contents - count_unembedded(connection, model_id) if model_id is not None else 0
    missing = connection.value("SELECT count(*) FROM photos WHERE missing_since IS NOT NULL")
    by_kind = connection.rows(
        "SELECT problem_kind, count(*) FROM photos WHERE problem_kind IS NOT NULL "
        "AND missing_since IS NULL GROUP BY problem_kind ORDER BY problem_kind"
    )
    return LibraryCounts(int(photos), contents, embedded, missing, dict(by_kind))


def count_unembedded(connection: Connection, model_id: int) -> int:
    """Live contents that this model has not encoded."""
    return int(
        connection.value(
            """SELECT count(*) FROM contents c WHERE live_photos > 0 AND NOT EXISTS
            (SELECT 1 FROM embeddings e WHERE e.content_id = c.id AND e.model_id = ?)""",
            (model_id,),
        )
    )


def _photo(
    connection: Connection,
    photo_id: int,
    root: bytes,
    folder: bytes,
    name: bytes,
    checksum: int,
    missing: int,
    *columns: Any,
) -> PhotoRow:
    stat, (content_id, content_hash, *columns_of_facts) = columns[:5], columns[5:]
    path = join_path(root, folder, name)
    _check_row(connection, path, content_hash, checksum)
    facts = _facts(connection, path, columns_of_facts)
    return PhotoRow(
        photo_id, path, content_id, content_hash, facts, stat_from_columns(*stat), bool(missing)
    )


def _record(
    connection: Connection, path: bytes, root: bytes, photo_id: int, *columns: Any
) -> PhotoRecord:
    stat, (missing_since, kind, reason, checksum) = columns[:5], columns[5:9]
    content_id, content_hash, *of_facts = columns[9:]
    _check_row(connection, path, content_hash, checksum)
    return PhotoRecord(
        photo_id,
        path,
        root,
        stat_from_columns(*stat),
        missing_since,
        content_id,
        content_hash,
        None if content_id is None else _facts(connection, path, of_facts),
        kind,
        reason,
    )


def _check_row(
    connection: Connection, path: bytes, content_hash: bytes | None, checksum: int
) -> None:
    if photo_checksum(path, content_hash) != checksum:
        raise DamageError(
            f"The row of {os.fsdecode(path)!r} in {connection.path} is damaged",
            "Run `clipsearch index` to read that photo again.",
        )


def _facts(connection: Connection, path: bytes, columns: Sequence[Any]) -> PhotoFacts:
    try:
        return facts_from_columns(*columns)
    except ValueError as error:
        what = f"the date or another fact of {os.fsdecode(path)!r} cannot be read"
        raise damaged(connection.path, what) from error


def _by_path(photo: PhotoRow) -> bytes:
    return photo.path
