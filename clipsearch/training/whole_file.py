"""A file is there whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from clipsearch.storage.layout import sync_dir


@contextmanager
def whole_file(target: Path) -> Iterator[BinaryIO]:
    """A file to write that takes its name at the end: a reader sees the old one or the new one.

    Temporary file, fsync, rename, fsync of the folder. Raises OSError when the disk is full; what
    was there under that name is then still there.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_name(target.name + ".unfinished")
    try:
        with unfinished.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(target)
    except OSError:
        # A full disk is not kept full by the half that did fit.
        unfinished.unlink(missing_ok=True)
        raise
    sync_dir(target.parent)


def rename_folder(unfinished: Path, target: Path) -> None:
    """Give a folder its name once all that is in it is on the disk: after a power cut it is there
    whole or not at all. `target` must not be there."""
    for folder, _, names in os.walk(unfinished):
        for name in names:
            # Windows flushes only what was opened to be written.
            with open(os.path.join(folder, name), "rb+" if os.name == "nt" else "rb") as file:
                os.fsync(file.fileno())
        sync_dir(Path(folder))
    unfinished.rename(target)
    sync_dir(target.parent)
