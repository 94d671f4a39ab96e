"""A refused write is told with a next step that fits its reason, wherever it was refused."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from clipsearch.cli.failures import explain
from clipsearch.encoders import installing
from clipsearch.errors import StorageError
from clipsearch.library import Library
from clipsearch.storage import catalogue_file, directory, lock
from clipsearch.storage.faults import meaning_of
from clipsearch.storage.refusals import next_step

STEPS = {
    errno.EACCES: "Check its permissions, or go there",
    errno.EPERM: "Check its permissions, or go there",
    errno.EROFS: "That disk can only be read: go there",
    errno.ENOSPC: "Free some space and run it again, or go there: what was finished is kept",
    errno.EDQUOT: "Free some space and run it again, or go there: what was finished is kept",
    errno.EFBIG: "Free some space and run it again, or go there: what was finished is kept",
    errno.ENOENT: "Check that its folder is there, or go there",
    errno.ENOTDIR: "A part of that path is a file, not a folder: go there",
    errno.EIO: "Check that disk, or go there",
    errno.ELOOP: "Go there",
}
Raising = Callable[..., object]


def refusing(number: int) -> Raising:
    def refuse(*arguments: object, **named: object) -> object:
        raise OSError(number, os.strerror(number))

    return refuse


@pytest.mark.parametrize(("number", "step"), STEPS.items())
def test_each_reason_has_its_step(number: int, step: str) -> None:
    assert next_step(OSError(number, "reason"), "go there") == step


def of_models(folder: Path, refuse: Raising, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(installing, "make_private_dir", refuse)
    installing.install("starter", folder / "models", lambda *_: None)


def of_a_lock(folder: Path, refuse: Raising, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(lock, "open_private", refuse)
    with lock.writer_lock(folder):
        pass


def of_a_new_library(folder: Path, refuse: Raising, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(directory, "make_private_dir", refuse)
    Library.open(folder / "new", create=True)


def of_a_new_catalogue(folder: Path, refuse: Raising, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(catalogue_file, "write_empty_catalogue", refuse)
    Library.open(folder / "new", create=True)


def of_a_catalogue(folder: Path, refuse: Raising, patch: pytest.MonkeyPatch) -> None:
    try:
        refuse()
    except OSError as error:
        meaning = meaning_of(error, folder / "catalogue.sqlite")
        assert meaning is not None
        raise meaning from error


@pytest.mark.parametrize(
    "write", [of_models, of_a_lock, of_a_new_library, of_a_new_catalogue, of_a_catalogue]
)
@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.ENOSPC, errno.ENOTDIR])
def test_only_where_space_is_lacking_somebody_is_told_to_free_some(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Raising, number: int
) -> None:
    with pytest.raises(StorageError) as caught:
        write(tmp_path, refusing(number), monkeypatch)
    line = explain(caught.value).line
    assert os.strerror(number) in line
    assert STEPS[number].partition(" or go")[0].partition(":")[0].rstrip(",") in line
    assert ("Free some space" in line) == (number == errno.ENOSPC)
