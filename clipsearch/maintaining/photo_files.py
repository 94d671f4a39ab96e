"""Reading photo files again: are they still what was indexed?"""

import os
from collections import Counter
from collections.abc import Iterator

from clipsearch.errors import PhotoError, PhotoGone
from clipsearch.maintaining.findings import Finding
from clipsearch.photos.files import file_stat
from clipsearch.photos.hashing import hash_file
from clipsearch.storage.catalogue import Catalogue
from clipsearch.storage.records import IndexedFile
from clipsearch.types import Progress, same_file


def compare_photos(
    catalogue: Catalogue, examined: Counter[str], progress: Progress
) -> Iterator[Finding]:
    """Read every photo that should not have changed, and name those that differ.

    A photo that visibly changed or is gone is no damage: the next index run sees to it. Counted in
    `examined` as "photos read", "photos changed since", "photos gone" and "photos offline".
    """
    offline = {root.root_id for root in catalogue.roots() if not os.path.isdir(root.path)}
    total = catalogue.counts().photos
    for number, file in enumerate(catalogue.indexed_files()):
        progress("inspect", number, total)
        if file.root_id in offline:
            examined["photos offline"] += 1
        else:
            yield from _compare(file, examined)
    progress("inspect", total, total)


def _compare(file: IndexedFile, examined: Counter[str]) -> Iterator[Finding]:
    try:
        if not same_file(file.stat, file_stat(os.lstat(file.path))):
            examined["photos changed since"] += 1
            return
        found = hash_file(file.path)
    except (FileNotFoundError, NotADirectoryError, PhotoGone):
        examined["photos gone"] += 1
        return
    except (OSError, PhotoError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        examined["photos not readable"] += 1
        yield Finding("photos", f"cannot be read: {reason.lower()}", path=file.path)
        return
    if not same_file(file.stat, found.stat):
        examined["photos changed since"] += 1
        return
    examined["photos read"] += 1
    if found.content_hash != file.content_hash:
        what = "its content is not what was indexed, though its size and times are"
        yield Finding("photos", what, path=file.path, photo_id=file.photo_id)
