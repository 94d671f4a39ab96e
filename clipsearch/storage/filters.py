"""A `PhotoFilter` as SQL conditions on photos p and their contents c."""

import os
import unicodedata
from functools import lru_cache

from clipsearch.storage.connection import Connection, Parameters
from clipsearch.storage.id_lists import id_list
from clipsearch.types import PhotoFilter

LIVE = "p.missing_since IS NULL AND p.content_id IS NOT NULL"


def conditions(connection: Connection, wanted: PhotoFilter | None) -> tuple[str, Parameters]:
    """What a live photo has to fulfil, and the parameters of that condition."""
    return _conditions(connection, wanted or PhotoFilter(), "p.folder_id")


def conditions_on_contents(
    connection: Connection, wanted: PhotoFilter | None
) -> tuple[str, Parameters]:
    """The same where contents are given: SQLite begins with those, not with all of a folder."""
    return _conditions(connection, wanted or PhotoFilter(), "+p.folder_id")


def _conditions(connection: Connection, wanted: PhotoFilter, folder: str) -> tuple[str, Parameters]:
    parts = [LIVE]
    parameters: list[object] = []
    if wanted.folders:
        parts.append(f"{folder} IN (SELECT value FROM json_each(?))")
        parameters.append(id_list(_matching_folders(connection, wanted.folders)))
    if wanted.not_folders:
        parts.append(f"{folder} NOT IN (SELECT value FROM json_each(?))")
        parameters.append(id_list(_matching_folders(connection, wanted.not_folders)))
    # taken_at is ISO text in local time: comparing text compares times. NULL passes neither.
    if wanted.after is not None:
        parts.append("c.taken_at >= ?")
        parameters.append(wanted.after.isoformat())
    if wanted.before is not None:
        parts.append("c.taken_at < ?")
        parameters.append(wanted.before.isoformat())
    if wanted.camera is not None:
        # Not LIKE: % and _ are ordinary characters in a camera's name.
        parts.append("instr(lower(c.camera), lower(?)) > 0")
        parameters.append(wanted.camera)
    return " AND ".join(parts), parameters


def _matching_folders(connection: Connection, wanted: tuple[str, ...]) -> list[int]:
    needles = [(_comparable(name), os.path.isabs(name)) for name in wanted]
    matching = []
    for folder_id, root, path in connection.rows(
        "SELECT f.id, r.path, f.path FROM folders f JOIN roots r ON r.id = f.root_id"
    ):
        names = _comparable_folder(root, path)
        if any(_contains(names, needle, absolute) for needle, absolute in needles):
            matching.append(folder_id)
    return matching


def _contains(names: str, needle: str, absolute: bool) -> bool:
    """Whether a folder is, or lies in, the folder that `needle` names.

    An absolute needle is compared from the start, any other at every depth, always by whole names:
    `2023` matches /photos/2023 and /photos/2023/may, never /photos/2023b.
    """
    return names.startswith(needle) if absolute else needle in names


# A search asks two or three times about the same folders, an engine at every search.
@lru_cache(maxsize=1 << 16)
def _comparable_folder(root: bytes, path: bytes) -> str:
    return _comparable(os.fsdecode(os.path.join(root, path)))


def _comparable(path: str) -> str:
    """/a/b/ without regard to case, to doubled slashes, or to how accents are composed."""
    path = unicodedata.normalize("NFC", path.replace(os.sep, "/")).casefold()
    names = [name for name in path.split("/") if name not in ("", ".")]
    return "".join(f"/{name}" for name in names) + "/"
