"""A `PhotoFilter` as SQL conditions on photos p and their contents c."""

import os
import unicodedata
from collections.abc import Callable
from functools import lru_cache

from clipsearch.storage.connection import Connection, Parameters
from clipsearch.storage.id_lists import id_list
from clipsearch.types import PhotoFilter

LIVE = "p.missing_since IS NULL AND p.content_id IS NOT NULL"


def conditions(connection: Connection, wanted: PhotoFilter) -> tuple[str, Parameters]:
    """What a live photo has to fulfil, and the parameters of that condition."""
    where, parameters = conditions_but_folders(wanted)
    parts, of_folders = [where], []
    for names, word in ((wanted.folders, "IN"), (wanted.not_folders, "NOT IN")):
        if names:
            parts.append(f"p.folder_id {word} (SELECT value FROM json_each(?))")
            of_folders.append(id_list(_matching_folders(connection, names)))
    return " AND ".join(parts), [*parameters, *of_folders]


def conditions_but_folders(wanted: PhotoFilter) -> tuple[str, Parameters]:
    """The same without what is asked of the photo's folder: see `folder_passes`."""
    parts = [LIVE]
    parameters: list[object] = []
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


def folder_passes(wanted: PhotoFilter) -> Callable[[bytes, bytes], bool]:
    """Whether a photo passes by its root and its folder in that.

    Where some photos are given, this costs less than to ask which of all folders match.
    """
    among, outside = _matcher(wanted.folders), _matcher(wanted.not_folders)

    def passes(root: bytes, folder: bytes) -> bool:
        if wanted.folders and not among(root, folder):
            return False
        return not (wanted.not_folders and outside(root, folder))

    return passes


def _matching_folders(connection: Connection, wanted: tuple[str, ...]) -> list[int]:
    matches = _matcher(wanted)
    folders = connection.rows(
        "SELECT f.id, r.path, f.path FROM folders f JOIN roots r ON r.id = f.root_id"
    )
    return [folder_id for folder_id, root, path in folders if matches(root, path)]


def _matcher(wanted: tuple[str, ...]) -> Callable[[bytes, bytes], bool]:
    """Whether a folder, by its root and its path in that, is or lies in one of the wanted ones."""
    needles = [(_comparable(name), os.path.isabs(name)) for name in wanted]

    def matches(root: bytes, path: bytes) -> bool:
        names = _comparable_folder(root, path)
        return any(_contains(names, needle, absolute) for needle, absolute in needles)

    return matches


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
