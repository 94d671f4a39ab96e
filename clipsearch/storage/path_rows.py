"""The paths of many photos at once, without the rest of what is known of each."""

import zlib
from collections.abc import Callable

from clipsearch.errors import DamageError
from clipsearch.storage.connection import Connection
from clipsearch.storage.decoding import decodes
from clipsearch.storage.filters import conditions_but_folders, folder_passes
from clipsearch.storage.id_lists import id_list
from clipsearch.storage.records import join_path
from clipsearch.types import Ids, PhotoFilter


@decodes
def paths_of_all(
    connection: Connection, content_ids: Ids, wanted: PhotoFilter | None
) -> dict[int, list[bytes]]:
    """The paths, sorted, of the live photos of some contents that pass the filter.

    The twin of `photo_rows.photos_of`, five times as fast for thousands of photos.

    Raises DamageError when a row does not fit its content.
    """
    where, parameters = conditions_but_folders(wanted or PhotoFilter())
    rows = connection.rows(
        f"""SELECT c.id, p.folder_id, p.name, p.checksum, c.hash
        FROM photos p JOIN contents c ON c.id = p.content_id
        WHERE c.id IN (SELECT value FROM json_each(?)) AND {where}""",
        (id_list(content_ids), *parameters),
    )
    passes = folder_passes(wanted or PhotoFilter())
    folders = _folders(connection, {row[1] for row in rows}, passes)
    found: dict[int, list[bytes]] = {}
    for content_id, folder_id, name, checksum, content_hash in rows:
        if folder_id not in folders:
            continue
        folder, start = folders[folder_id]
        # The checksum of a photo's row: see `records.photo_checksum`.
        if zlib.crc32(content_hash, zlib.crc32(name, start)) != checksum:
            raise DamageError(
                f"The row of {folder + name!r} in {connection.path} is damaged",
                "Run `clipsearch index` to read that photo again.",
            )
        found.setdefault(content_id, []).append(folder + name)
    for paths in found.values():
        paths.sort()
    return found


def _folders(
    connection: Connection, folder_ids: set[int], passes: Callable[[bytes, bytes], bool]
) -> dict[int, tuple[bytes, int]]:
    """Absolute folders that pass, and where their photos' checksums start.

    With a separator at their end.
    """
    found = {}
    for folder_id, root, folder in connection.rows(
        """SELECT f.id, r.path, f.path FROM folders f JOIN roots r ON r.id = f.root_id
        WHERE f.id IN (SELECT value FROM json_each(?))""",
        (id_list(folder_ids),),
    ):
        if passes(root, folder):
            whole = join_path(root, folder, b"")
            found[folder_id] = whole, zlib.crc32(whole)
    return found
