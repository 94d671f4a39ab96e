"""Purging erases what has been missing for long, and nothing that is, or may be, there."""

import dataclasses
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from clipsearch.encoders.fake import FAKE
from clipsearch.errors import LockedError, StorageError, UsageError
from clipsearch.library import Library
from clipsearch.maintaining import PurgePlan, check, plan_model_purge, plan_purge, purge
from clipsearch.storage import model_snapshot
from clipsearch.storage.erasing import Erased
from clipsearch.storage.lock import writer_lock
from tests.indexing.album import Album, write_photo

DAY = 86_400


def miss(album: Album, *names: str, days: float = 100) -> None:
    """Delete photos, find out by indexing, and let time pass."""
    for name in names:
        (album.photos / name).unlink()
    album.index()
    with Library.open(album.library) as library:
        library.catalogue._db.change(
            "UPDATE photos SET missing_since = ? WHERE missing_since > ?",
            (time.time() - days * DAY, time.time() - DAY),
        )


def plan(album: Album, days: float = 90) -> PurgePlan:
    with Library.open(album.library) as library:
        return plan_purge(library, days)


def erase(album: Album, days: float = 90) -> Erased:
    with Library.open(album.library) as library:
        return purge(library, plan_purge(library, days)).erased


def is_whole(album: Album) -> bool:
    return check(album.library, album.library).findings == ()


def test_only_what_has_been_missing_for_long_goes(album: Album) -> None:
    miss(album, "0/02.png", "copy.png", days=100)
    miss(album, "0/04.png", days=50)
    foreseen = plan(album)
    assert sorted(foreseen.paths) == [
        os.fsencode(album.photos / name) for name in ("0/02.png", "copy.png")
    ]
    # copy.png is a copy: its content is still needed.
    assert foreseen.erases == Erased(photos=2, contents=1, embeddings=1)
    assert not foreseen.is_empty
    assert erase(album) == foreseen.erases
    assert plan(album).is_empty
    assert is_whole(album)
    assert len(album.stored()) == 38
    assert erase(album, days=0) == Erased(photos=1, contents=1, embeddings=1)


def test_planning_changes_nothing(album: Album) -> None:
    miss(album, "0/02.png")
    before = (album.library / "catalogue.sqlite").read_bytes()
    plan(album)
    assert (album.library / "catalogue.sqlite").read_bytes() == before


def test_a_file_that_is_there_again_keeps_its_row(album: Album) -> None:
    content = (album.photos / "0/02.png").read_bytes()
    miss(album, "0/02.png", "0/04.png")
    (album.photos / "0/02.png").write_bytes(content)
    (album.photos / "0/04.png").mkdir()
    foreseen = plan(album)
    assert (foreseen.present, foreseen.erases.photos) == (1, 1)


def test_a_place_that_cannot_be_asked_keeps_its_row(
    album: Album, monkeypatch: pytest.MonkeyPatch
) -> None:
    miss(album, "0/02.png")
    real = os.lstat

    def lstat(path: bytes | str) -> os.stat_result:
        if os.fsencode(path).endswith(b"02.png"):
            raise OSError(5, "Input/output error")
        return real(path)

    monkeypatch.setattr(os, "lstat", lstat)
    assert plan(album).present == 1


@pytest.mark.row("C6")
@pytest.mark.parametrize("away", ["absent", "empty", "other disk"])
def test_folders_that_are_not_there_lose_nothing(album: Album, away: str) -> None:
    miss(album, "0/02.png")
    album.photos.rename(album.photos.with_name("unmounted"))
    if away != "absent":
        album.photos.mkdir()
    if away == "other disk":
        write_photo(album.photos / "holiday.png", (1, 1, 1))
    foreseen = plan(album)
    assert (foreseen.offline, foreseen.is_empty) == (1, True)
    assert erase(album) == Erased()


def test_a_folder_that_is_there_may_lose_all_its_photos(album: Album) -> None:
    second = album.library.parent / "second"
    write_photo(second / "only.png", (1, 2, 3))
    album.index(second)
    (second / "only.png").unlink()
    (second / ".keep").write_text("no photo, and not listed as one")
    album.index(second, confirm_missing=True)
    assert plan(album, days=0).erases == Erased(photos=1, contents=1, embeddings=1)
    # An empty one may be a mount point.
    (second / ".keep").unlink()
    assert (plan(album, days=0).offline, plan(album, days=0).is_empty) == (1, True)


def test_a_time_that_is_none_is_refused(album: Album) -> None:
    for days in (-1.0, 1e9, float("nan")):
        with pytest.raises(UsageError, match="no length of time"):
            plan(album, days)


def add_model(album: Album) -> None:
    other = dataclasses.replace(FAKE, name="other", fingerprint="ab" * 32)
    with Library.open(album.library) as library:
        catalogue = library.catalogue
        model_id = catalogue.register_model(other)
        catalogue._db.change(
            "INSERT INTO embeddings (model_id, content_id, checksum, vector) "
            "SELECT ?, content_id, 0, vector FROM embeddings",
            (model_id,),
        )
    (album.library / f"{'ab' * 8}.faiss").write_bytes(b"a snapshot")


@pytest.mark.parametrize("name", ["other", "ABABABAB"])
def test_an_old_model_goes_with_its_embeddings_and_snapshot(album: Album, name: str) -> None:
    miss(album, "0/02.png")
    add_model(album)
    with Library.open(album.library) as library:
        foreseen = plan_model_purge(library, name)
        assert foreseen.erases == Erased(embeddings=40)
        assert not foreseen.is_empty
        assert purge(library, foreseen).erased == foreseen.erases
        assert [model.info.name for model in library.catalogue.models()] == ["fake"]
    assert not list(album.library.glob("*.faiss"))
    assert is_whole(album)
    # Nothing else went.
    assert plan(album).erases.photos == 1


def test_the_model_that_answers_and_unknown_ones_are_refused(album: Album) -> None:
    add_model(album)
    with Library.open(album.library) as library:
        with pytest.raises(UsageError, match="is the one that answers"):
            plan_model_purge(library, "fake")
        with pytest.raises(UsageError, match="no model abab has"):
            plan_model_purge(library, "abab")
        foreseen = plan_model_purge(library, "other")
        library.catalogue.activate_model(2)
        with pytest.raises(UsageError, match="answers by now"):
            purge(library, foreseen)
        assert len(library.catalogue.models()) == 2


def test_nothing_is_erased_while_another_process_writes(album: Album) -> None:
    miss(album, "0/02.png")
    with (
        Library.open(album.library) as library,
        writer_lock(album.library),
        pytest.raises(LockedError),
    ):
        purge(library, plan_purge(library))
    assert plan(album).erases.photos == 1


def test_without_room_for_a_second_copy_the_rows_go_and_the_file_stays_as_large(
    album: Album, fail_at: Callable[[str], None]
) -> None:
    miss(album, "0/02.png")
    with Library.open(album.library) as library:
        foreseen = plan_purge(library)
        fail_at("before_compacting")
        done = purge(library, foreseen)
    assert (done.erased, done.compacted) == (foreseen.erases, False)
    assert is_whole(album)


def test_a_disk_error_erases_nothing(album: Album, fail_at: Callable[[str], None]) -> None:
    miss(album, "0/02.png")
    with Library.open(album.library) as library:
        foreseen = plan_purge(library)
        fail_at("before_commit")
        with pytest.raises(StorageError):
            purge(library, foreseen)
    assert plan(album).erases == foreseen.erases


PURGE = """
import sys
from pathlib import Path
from clipsearch.library import Library
from clipsearch.maintaining import plan_purge, purge
with Library.open(Path(sys.argv[1])) as library:
    purge(library, plan_purge(library))
"""


@pytest.mark.row("A3")
@pytest.mark.parametrize(
    ("place", "done"),
    [("before_commit", False), ("after_commit", True), ("before_compacting", True)],
)
def test_killed_all_of_it_is_there_or_all_of_it_is_gone(
    album: Album, place: str, done: bool
) -> None:
    miss(album, "0/02.png", "0/04.png", "copy.png")
    killed = subprocess.run(
        [sys.executable, "-c", PURGE, str(album.library)],
        env=os.environ | {"CLIPSEARCH_FAILPOINT": f"{place}=exit"},
        check=False,
    )
    assert killed.returncode == -9
    assert is_whole(album)
    left = plan(album).erases
    assert left == (Erased() if done else Erased(photos=3, contents=2, embeddings=2))
    assert erase(album) == left
    assert len(album.stored()) == 38


def test_everything_at_once_is_a_library_still(album: Album, tmp_path: Path) -> None:
    miss(album, *(f"0/{number:02}.png" for number in range(0, 18, 2)), "copy.png")
    assert erase(album).photos == 10
    assert is_whole(album)
    assert album.index().found == 31


def test_a_row_that_is_another_photos_by_now_stays(album: Album) -> None:
    miss(album, "copy.png")
    foreseen = plan(album)
    assert erase(album) == foreseen.erases
    # The newest row is gone, and its number is given to the next photo.
    write_photo(album.photos / "new.png", (1, 2, 3))
    album.index()
    miss(album, "new.png", days=1)
    with Library.open(album.library) as library:
        missing = list(library.catalogue.erasing.missing_photos(time.time()))
        assert [photo.photo_id for photo in missing] == list(foreseen.photo_ids)
        assert purge(library, foreseen).erased.photos == 0
        assert list(library.catalogue.erasing.missing_photos(time.time())) == missing


def test_a_photo_that_went_missing_again_starts_anew(album: Album) -> None:
    miss(album, "copy.png")
    foreseen = plan(album)
    write_photo(album.photos / "copy.png", (0, 255, 0))
    album.index()
    miss(album, "copy.png", days=1)
    with Library.open(album.library) as library:
        assert purge(library, foreseen).erased.photos == 0


def test_a_model_that_has_the_number_of_a_planned_one_stays(album: Album) -> None:
    other = dataclasses.replace(FAKE, name="other", fingerprint="0a" * 32)
    third = dataclasses.replace(FAKE, name="third", fingerprint="0b" * 32)
    with Library.open(album.library) as library:
        planned_id = library.catalogue.register_model(other)
        foreseen = plan_model_purge(library, "other")
        purge(library, foreseen)
        assert library.catalogue.register_model(third) == planned_id
        purge(library, foreseen)
        assert [model.info.name for model in library.catalogue.models()] == [FAKE.name, "third"]


def test_the_space_is_given_back_even_when_no_snapshot_finds_room(
    album: Album, fail_at: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    miss(album, "0/02.png")
    monkeypatch.setattr(model_snapshot, "WITHOUT_SNAPSHOT", 0)
    with Library.open(album.library) as library:
        database = library.catalogue._db
        database.change("INSERT INTO models VALUES (9, 'large', hex(zeroblob(50000)))")
        database.change("DELETE FROM models WHERE id = 9")
        assert database.value("PRAGMA freelist_count") > 5
        foreseen = plan_purge(library)
        fail_at("before_temp_write")
        with pytest.raises(StorageError, match="cannot be written"):
            purge(library, foreseen)
        assert database.value("PRAGMA freelist_count") == 0
    assert plan(album).is_empty
