"""Folders of photos: named after what is on them, or with a text file beside each photo."""

import os
from collections.abc import Iterable, Iterator

from clipsearch.errors import UsageError
from clipsearch.pairs.lines import caption_lines, open_text, text_lines
from clipsearch.pairs.sources import FileSource, looks_like_photo
from clipsearch.types import CaptionedPhoto

# What computers and cameras put beside photos, besides all that begins with a dot.
_NOT_PHOTO_FOLDERS = frozenset({"@eaDir", "#recycle", "$RECYCLE.BIN", "__MACOSX", "lost+found"})


def read_labelled(folder: str) -> list[CaptionedPhoto]:
    """Photos at any depth, labelled with the name of the folder they lie in, sorted by path.

    Photos in `folder` itself have no label. Raises UsageError for a folder that cannot be listed.
    """
    return labelled_by_folder(photos_below(folder), folder)


def labelled_by_folder(paths: Iterable[str], top: str) -> list[CaptionedPhoto]:
    """Photos at absolute `paths`, each labelled with the name of its folder, but not of `top`."""
    top = os.path.abspath(top)
    photos = []
    for path in paths:
        folder = os.path.dirname(path)
        label = None if folder == top else os.path.basename(folder)
        photos.append(CaptionedPhoto(FileSource(os.fsencode(path)), (), label))
    return photos


def read_sidecars(folder: str) -> list[CaptionedPhoto]:
    """Photos at any depth with the captions in a `.txt` of the same name, one a line.

    A photo without such a file has no captions. Raises UsageError for a folder or text that cannot
    be read.
    """
    return [
        CaptionedPhoto(FileSource(os.fsencode(path)), _sidecar(path), None)
        for path in photos_below(folder)
    ]


def has_sidecar(path: str) -> bool:
    """Whether a text file of the same name lies beside the photo."""
    return os.path.isfile(_sidecar_path(path))


def photos_below(folder: str) -> list[str]:
    """Absolute paths of the files named like photos, at any depth, in a fixed order.

    Links to folders are followed, each folder is visited once; hidden ones and those of the system
    are left out. Raises UsageError for a folder that cannot be listed: data would be missing.
    """
    return [
        os.path.join(path, name)
        for path, names in _walk(os.path.abspath(folder))
        for name in names
        if looks_like_photo(name) and not name.startswith(".")
    ]


def _walk(top: str) -> Iterator[tuple[str, list[str]]]:
    seen: set[tuple[int, int]] = set()
    waiting = [top]
    while waiting:
        path = waiting.pop()
        try:
            found = os.stat(path)
            if (found.st_dev, found.st_ino) in seen:
                continue
            seen.add((found.st_dev, found.st_ino))
            with os.scandir(path) as listing:
                entries = sorted(listing, key=lambda entry: entry.name)
        except OSError as error:
            raise UsageError(
                f"cannot list {path}: {error.strerror}", "Make it readable, or move it away"
            ) from error
        folders = [entry.path for entry in entries if _is_folder(entry)]
        waiting += reversed(folders)
        yield path, [entry.name for entry in entries if not entry.is_dir()]


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    wanted = not entry.name.startswith(".") and entry.name not in _NOT_PHOTO_FOLDERS
    return wanted and entry.is_dir()


def _sidecar_path(path: str) -> str:
    return os.path.splitext(path)[0] + ".txt"


def _sidecar(path: str) -> tuple[str, ...]:
    sidecar = _sidecar_path(path)
    if not os.path.isfile(sidecar):
        return ()
    with open_text(sidecar) as file:
        return caption_lines("".join(text_lines(file, sidecar)))
