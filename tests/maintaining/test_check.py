"""A look through a library finds what was done to it, and changes nothing."""

import dataclasses
import hashlib
import os
import shutil
import sqlite3
from pathlib import Path

import pytest

from clipsearch.encoders.fake import FAKE
from clipsearch.errors import DamageError, StorageError
from clipsearch.library import Library
from clipsearch.maintaining import CheckReport, Finding, check, repair
from clipsearch.photos import hashing
from tests.checking.test_stored import flip, write_installed
from tests.indexing.album import Album, vector_of
from tests.maintaining.conftest import COLOURS
from tests.storage.small_library import erase_embeddings


def look(album: Album, *, read_data: bool = False) -> CheckReport:
    return check(album.library, models_of(album), read_data=read_data)


def models_of(album: Album) -> Path:
    return album.library.parent / "models"


def sql(album: Album, statement: str) -> None:
    database = sqlite3.connect(album.library / "catalogue.sqlite")
    database.execute(statement)
    database.commit()
    database.close()


def parts(report: CheckReport) -> list[str]:
    return [finding.part for finding in report.damage]


def files_of(folder: Path) -> dict[str, tuple[int, str]]:
    return {
        str(path): (path.stat().st_mtime_ns, hashlib.sha256(path.read_bytes()).hexdigest())
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_a_whole_library_is_clean_and_counted_and_not_changed(album: Album) -> None:
    with Library.open(album.library) as library:
        library.rebuild_snapshot()
    before = files_of(album.library.parent)
    report = look(album, read_data=True)
    assert report.findings == ()
    assert report.examined["photos"] == report.examined["photos read"] == 41
    assert report.examined["contents"] == report.examined["embeddings"] == 40
    assert files_of(album.library.parent) == before


def test_damaged_rows_are_named_with_their_photos(album: Album) -> None:
    sql(album, "UPDATE photos SET checksum = 1 WHERE name = CAST('07.png' AS BLOB)")
    sql(album, "UPDATE embeddings SET checksum = 1 WHERE id = 3")
    report = look(album)
    assert parts(report) == ["rows", "embeddings"]
    assert report.damage[0].path == os.fsencode(album.photos / "1/07.png")
    assert report.damage[1].what == "row 3 of embeddings: its checksum does not fit"


def test_repairing_keeps_all_but_the_damaged_rows_and_indexing_makes_those_again(
    album: Album,
) -> None:
    sql(album, "UPDATE photos SET checksum = 1 WHERE name = CAST('07.png' AS BLOB)")
    sql(album, "UPDATE embeddings SET checksum = 1 WHERE id = 3")
    mended = repair(album.library, models_of(album), look(album))
    assert mended.remaining == ()
    assert mended.replacement is not None
    assert mended.replacement.salvage.kept["photos"] == 40
    assert mended.replacement.salvage.kept["embeddings"] == 39
    assert mended.replacement.salvage.set_aside == dict.fromkeys(
        mended.replacement.salvage.kept, 0
    ) | {"photos": 1, "embeddings": 1}
    report = look(album)
    assert report.damage == ()
    assert [finding.what for finding in report.findings] == [
        f"{mended.replacement.damaged.name} is an older catalogue; "
        "delete it when you no longer need it"
    ]
    album.encoder.encoded = 0
    summary = album.index()
    assert (album.encoder.encoded, summary.new, summary.unchanged) == (1, 1, 39)
    expected = {f"{n % 2}/{n:02}.png": colour for n, colour in enumerate(COLOURS)}
    album.check(expected | {"copy.png": COLOURS[0]})


def test_a_catalogue_that_cannot_be_opened_is_damage_and_mended(album: Album) -> None:
    path = album.library / "catalogue.sqlite"
    content = bytearray(path.read_bytes())
    content[:100] = bytes(100)
    path.write_bytes(content)
    report = look(album, read_data=True)
    assert parts(report) == ["catalogue"]
    assert "no SQLite file" in report.damage[0].what
    mended = repair(album.library, models_of(album), report)
    assert (mended.remaining, mended.read_again) == ((), 0)
    album.encoder.encoded = 0
    assert album.index().unchanged == 41
    assert album.encoder.encoded == 0


def test_structure_damage_is_told_page_by_page(album: Album) -> None:
    database = sqlite3.connect(album.library / "catalogue.sqlite")
    (page,) = database.execute(
        "SELECT rootpage FROM sqlite_master WHERE name = 'photos_by_content'"
    ).fetchone()
    database.close()
    with (album.library / "catalogue.sqlite").open("r+b") as file:
        file.seek((page - 1) * 8192 + 3)
        file.write(b"\0\0")
    report = look(album)
    assert "catalogue" in parts(report)
    assert repair(album.library, models_of(album), report).remaining == ()
    assert album.index().unchanged == 41


def test_without_a_catalogue_there_is_nothing_to_mend(album: Album, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="no library"):
        check(tmp_path / "nowhere", tmp_path)
    with Library.open(album.library) as library:
        library.rebuild_snapshot()
    (album.library / "catalogue.sqlite").unlink()
    report = look(album)
    assert parts(report) == ["catalogue"]
    with pytest.raises(DamageError, match="from a backup"):
        repair(album.library, models_of(album), report)


@pytest.mark.row("F1")
def test_a_damaged_snapshot_is_found_and_written_again(album: Album) -> None:
    with Library.open(album.library) as library:
        library.rebuild_snapshot()
    (snapshot,) = album.library.glob("*.faiss")
    flip(snapshot)
    report = look(album)
    assert parts(report) == ["snapshot"]
    mended = repair(album.library, models_of(album), report)
    assert (mended.replacement, mended.snapshot_rebuilt, mended.remaining) == (None, True, ())
    assert look(album).findings == ()


@pytest.mark.row("F1")
def test_a_snapshot_that_disagrees_with_the_catalogue_is_found(album: Album) -> None:
    with Library.open(album.library) as library:
        library.rebuild_snapshot()
    sql(album, "DELETE FROM embeddings WHERE id = 3")
    report = look(album)
    assert [finding.what.partition(": ")[2] for finding in report.damage] == [
        "it holds 40 embeddings, the catalogue 39"
    ]
    sql(album, "UPDATE generations SET stamp = x'0102030405060708'")
    assert "another state" in look(album).damage[0].what


def test_an_old_snapshot_is_no_damage(album: Album) -> None:
    with Library.open(album.library) as library:
        library.rebuild_snapshot()
        erase_embeddings(library.catalogue, 1, [5])
    album.add("new.png", (9, 9, 9))
    album.index()
    assert look(album).findings == ()


def test_a_snapshot_that_an_index_run_writes_meanwhile_is_no_damage(
    album: Album, monkeypatch: pytest.MonkeyPatch
) -> None:
    from clipsearch.storage.catalogue import Catalogue

    real = Catalogue.row_counts

    def meanwhile(self: Catalogue) -> dict[str, int]:
        counts = real(self)
        album.add("late.png", (3, 2, 1))
        album.index()
        with Library.open(album.library) as library:
            library.rebuild_snapshot()
        return counts

    monkeypatch.setattr(Catalogue, "row_counts", meanwhile)
    report = look(album)
    assert (report.findings, report.examined["photos"]) == ((), 41)


def test_the_snapshot_of_a_model_that_does_not_answer_is_only_told(album: Album) -> None:
    other = dataclasses.replace(FAKE, name="other", fingerprint="ab" * 32)
    with Library.open(album.library) as library:
        library.catalogue.register_model(other)
    (album.library / f"{'ab' * 8}.faiss").write_bytes(b"no snapshot")
    (album.library / f"{'cd' * 8}.faiss").write_bytes(b"of nobody")
    report = look(album)
    assert report.damage == ()
    assert [finding.part for finding in report.findings] == ["snapshot", "files"]
    assert "belongs to no model" in report.findings[1].what


def test_a_damaged_model_is_damage_and_a_missing_one_is_told_when_it_answers(
    album: Album,
) -> None:
    models = models_of(album)
    installed = write_installed(models, "balanced", "ab" * 32)
    absent = dataclasses.replace(FAKE, name="absent", fingerprint="cd" * 32)
    with Library.open(album.library) as library:
        library.catalogue.register_model(installed)
        gone = library.catalogue.register_model(absent)
    assert look(album).findings == ()
    flip(models / ("ab" * 8) / "image.onnx")
    assert parts(look(album)) == ["models"]
    shutil.rmtree(models)
    assert look(album).findings == ()
    with Library.open(album.library) as library:
        library.catalogue.activate_model(gone)
    report = look(album)
    assert report.damage == ()
    assert [finding.part for finding in report.findings] == ["models"]


def test_what_killed_runs_left_is_told_and_swept(album: Album) -> None:
    (album.library / "catalogue.sqlite.repaired.tmp").write_bytes(b"")
    # A library may lie among other files.
    (album.library / "holiday.tmp").write_bytes(b"")
    report = look(album)
    assert (report.damage, len(report.findings)) == ((), 1)
    assert "was killed" in report.findings[0].what
    repair(album.library, models_of(album), report)
    assert look(album).findings == ()


@pytest.mark.row("C14")
def test_a_change_that_left_size_and_times_is_found_and_read_again(album: Album) -> None:
    path = album.photos / "0/04.png"
    replace_unnoticed(album, path, (1, 2, 3))
    assert album.index().unchanged == 41, "the change was to go unnoticed"
    assert look(album).findings == ()
    report = look(album, read_data=True)
    (found,) = report.findings
    assert (found.part, found.path) == ("photos", os.fsencode(path))
    mended = repair(album.library, models_of(album), report)
    assert (mended.replacement, mended.read_again, mended.remaining) == (None, 1, ())
    assert album.index().changed == 1
    stored = album.stored()["0/04.png"]
    assert stored == pytest.approx(vector_of((1, 2, 3)), abs=2e-3)
    assert look(album, read_data=True).findings == ()


def replace_unnoticed(album: Album, path: Path, colour: tuple[int, int, int]) -> None:
    """Other content of the same length, and stat facts that the catalogue has already."""
    before = path.stat()
    from tests.indexing.album import write_photo

    write_photo(path, colour)
    if path.stat().st_size < before.st_size:
        path.write_bytes(path.read_bytes().ljust(before.st_size, b"\0"))
    assert path.stat().st_size == before.st_size
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = path.stat()
    # A file system that keeps no time of change is not at hand: the catalogue is told instead.
    sql(
        album,
        f"UPDATE photos SET ctime_ns = {after.st_ctime_ns}, inode = {after.st_ino} "
        f"WHERE name = CAST('{path.name}' AS BLOB)",
    )


def test_what_visibly_changed_is_gone_or_is_away_is_no_damage(album: Album) -> None:
    album.add("0/02.png", (7, 7, 7))
    (album.photos / "0/04.png").unlink()
    away = album.library.parent / "disk"
    away.mkdir()
    from tests.indexing.album import write_photo

    write_photo(away / "far.png", (8, 8, 8))
    album.index(away)
    away.rename(album.library.parent / "gone")
    report = look(album, read_data=True)
    assert report.findings == ()
    kinds = ("photos read", "photos changed since", "photos gone", "photos offline")
    assert [report.examined[kind] for kind in kinds] == [39, 1, 1, 1]


def test_a_photo_that_cannot_be_read_remains_damage(
    album: Album, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.read

    def read(descriptor: int, size: int) -> bytes:
        if os.readlink(f"/proc/self/fd/{descriptor}").endswith("04.png"):
            raise OSError(5, "Input/output error")
        return real(descriptor, size)

    monkeypatch.setattr(hashing.os, "read", read)
    report = look(album, read_data=True)
    expected = Finding(
        "photos",
        "cannot be read: input/output error",
        path=os.fsencode(album.photos / "0/04.png"),
    )
    assert report.findings == (expected,)
    assert repair(album.library, models_of(album), report).remaining == (expected,)


def test_a_photo_that_changes_between_two_looks_is_counted_as_changed(
    album: Album, monkeypatch: pytest.MonkeyPatch
) -> None:
    from clipsearch.maintaining import photo_files

    real = photo_files.hash_file

    def hash_file(path: bytes) -> hashing.HashedFile:
        if path.endswith(b"04.png"):
            album.add("0/04.png", (3, 3, 3))
        return real(path)

    monkeypatch.setattr(photo_files, "hash_file", hash_file)
    report = look(album, read_data=True)
    assert report.findings == ()
    assert report.examined["photos changed since"] == 1
