"""Photos and what is said of them, from whatever a person points at."""

import os

from clipsearch.errors import UsageError
from clipsearch.pairs.folders import has_sidecar, photos_below, read_labelled, read_sidecars
from clipsearch.pairs.tables import TABLE_ENDINGS, read_table
from clipsearch.pairs.webdataset import (
    archives_in,
    is_standard_set,
    read_archives,
    read_standard_set,
)
from clipsearch.types import CaptionedPhoto

# How tables are called that lie in the folder of their photos.
_TABLE_STEMS = ("captions", "metadata", "results", "Flickr8k.token")
_LAYOUTS = (
    "Give a .csv, .tsv or .jsonl of photos and captions, a folder with such a captions.csv,"
    " a folder with one folder for each label, photos with a .txt beside each,"
    " or WebDataset .tar files"
)


def read_photos(
    given: str | os.PathLike[str],
    photo_root: str | None = None,
    columns: tuple[str, str] | None = None,
) -> list[CaptionedPhoto]:
    """The photos at `given`, which is looked at to see what it is.

    A file is a table or a tar archive. A folder is, the first that fits: CLIP_benchmark's layout;
    tar archives; a table called `captions` or `metadata` with its photos; photos with a `.txt`
    beside at least one of them; folders named after what is on their photos. `photo_root` and
    `columns` are for tables: see `read_table`. Raises UsageError when nothing fits.
    """
    path = os.fspath(given)
    if not os.path.exists(path):
        raise UsageError(f"there is no {path}", _LAYOUTS)
    if photo_root is not None and not os.path.isdir(photo_root):
        # Else the places beside the table would be searched, as if nothing had been said.
        raise UsageError(f"there is no folder {photo_root}", "Name the folder of the photos")
    if os.path.isdir(path):
        return _read_folder(path, photo_root, columns)
    ending = os.path.splitext(path)[1].lower()
    if ending in TABLE_ENDINGS:
        return read_table(path, photo_root, columns)
    if ending == ".tar":
        return read_archives([path])[0]
    raise UsageError(f"{path} is no list of photos and captions", _LAYOUTS)


def _read_folder(
    path: str, photo_root: str | None, columns: tuple[str, str] | None
) -> list[CaptionedPhoto]:
    if is_standard_set(path):
        return list(read_standard_set(path).photos)
    if archives := archives_in(path):
        return read_archives(archives)[0]
    if tables := _tables_in(path):
        if len(tables) > 1:
            raise UsageError(f"{path} has several tables", f"Name one: {', '.join(tables)}")
        return read_table(tables[0], photo_root, columns)
    files = photos_below(path)
    if any(has_sidecar(file) for file in files):
        return read_sidecars(path)
    labelled = read_labelled(path)
    if not labelled:
        raise UsageError(f"there are no photos in {path}", _LAYOUTS)
    if all(photo.label is None for photo in labelled):
        raise UsageError(f"nothing says what is on the photos in {path}", _LAYOUTS)
    return labelled


def _tables_in(folder: str) -> list[str]:
    names = [stem + ending for stem in _TABLE_STEMS for ending in sorted(TABLE_ENDINGS)]
    paths = (os.path.join(folder, name) for name in names)
    return [path for path in paths if os.path.isfile(path)]
