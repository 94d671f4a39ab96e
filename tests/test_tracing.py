"""What is told of a photo is what is stored, what is there, and why."""

import hashlib
import os
from pathlib import Path

import pytest

from clipsearch.encoders.fake import FAKE
from clipsearch.errors import DamageError
from clipsearch.indexing import index
from clipsearch.library import Library
from clipsearch.photos.ignore import IgnoreRules
from clipsearch.photos.in_hand import InHand
from clipsearch.storage.layout import IN_HAND_NAME
from clipsearch.tracing import PhotoTrace, trace
from tests.indexing.album import Album


@pytest.fixture
def album(tmp_path: Path) -> Album:
    album = Album(tmp_path)
    album.add("a.png", (200, 10, 10))
    album.add("sub/copy.png", (200, 10, 10))
    album.add("b.png", (10, 200, 10))
    (album.photos / "cut.jpg").write_bytes(b"\xff\xd8\xff\xe0 cut")
    (album.photos / ".clipsearchignore").write_text("*.tif\n")
    album.index()
    return album


def ask(album: Album, path: Path | bytes | str) -> PhotoTrace:
    with Library.open(album.library) as library:
        return trace(library, os.fsencode(path))


def test_a_photo_with_all_that_is_known_of_it(album: Album) -> None:
    path = album.photos / "a.png"
    found = ask(album, path)
    content_hash = hashlib.sha256(path.read_bytes()).digest()
    assert (found.state, found.root, found.root_online) == ("live", bytes(album.photos), True)
    assert found.record is not None
    assert found.record.content_hash == found.now.content_hash == content_hash
    assert found.record.stat == found.now.stat
    assert (found.unchanged, found.same_stat) == (True, True)
    assert found.record.facts is not None
    assert (found.record.facts.width, found.record.facts.format) == (40, "PNG")
    (embedding,) = found.embeddings
    assert (embedding.model, embedding.fingerprint) == (FAKE.name, FAKE.fingerprint)
    assert (embedding.active, embedding.snapshot) == (True, None)
    assert embedding.beside == "there is no snapshot"
    assert found.copies == ((bytes(album.photos / "sub/copy.png"), False),)


def test_the_snapshot_that_holds_it_or_why_none_does(album: Album) -> None:
    with Library.open(album.library) as library:
        library.rebuild_snapshot()
        generation = library.catalogue.history.generation()[0]
    (embedding,) = ask(album, album.photos / "a.png").embeddings
    name = f"{FAKE.fingerprint[:16]}.faiss"
    assert (embedding.snapshot, embedding.generation) == (name, generation)
    assert embedding.beside is None
    album.add("late.png", (1, 2, 3))
    album.index()
    (embedding,) = ask(album, album.photos / "late.png").embeddings
    assert embedding.snapshot is None
    assert embedding.beside == f"it is newer than {name}, of generation {generation}"
    (album.library / name).write_bytes(b"")
    (embedding,) = ask(album, album.photos / "a.png").embeddings
    assert embedding.beside is not None
    assert f"{name} cannot be used" in embedding.beside


def test_a_missing_photo_and_one_that_is_there_again(album: Album) -> None:
    path = album.photos / "b.png"
    content = path.read_bytes()
    path.unlink()
    album.index()
    found = ask(album, path)
    assert (found.state, found.now.stat, found.now.content_hash) == ("missing", None, None)
    assert found.now.reason == "no such file or directory"
    assert found.record is not None
    assert found.record.missing_since is not None
    assert (found.unchanged, found.same_stat) == (None, None)
    assert "again" not in found.why
    path.write_bytes(content)
    found = ask(album, path)
    assert (found.state, found.unchanged, found.same_stat) == ("missing", True, False)
    assert "there again" in found.why


def test_a_photo_that_a_rule_hides_since_it_was_read(album: Album) -> None:
    rules = album.photos / ".clipsearchignore"
    rules.write_text("b.png\n")
    rule = f"b.png in {rules}"
    found = ask(album, album.photos / "b.png")
    assert (found.state, found.why.endswith(f"the next one leaves it out: {rule}")) == (
        "live",
        True,
    )
    album.index()
    found = ask(album, album.photos / "b.png")
    assert (found.state, found.why) == ("ignored", rule)
    assert found.record is not None
    rules.unlink()
    assert "takes it back" in ask(album, album.photos / "b.png").why


def test_a_photo_that_an_option_left_out_is_not_called_gone(album: Album) -> None:
    """--exclude is for one run: all that is left of it is that the file is as it was read."""
    with Library.open(album.library) as library:
        rules = IgnoreRules(exclude=("b.png",))
        folders = [bytes(album.photos)]
        index(library, FAKE, lambda expected: album.encoder, folders, rules=rules)
    found = ask(album, album.photos / "b.png")
    assert (found.state, found.same_stat) == ("missing", True)
    assert "proved" not in found.why
    assert "--exclude is written down nowhere" in found.why


def test_a_photo_that_runs_died_with_in_hand(album: Album) -> None:
    path, record = album.photos / "b.png", album.library / IN_HAND_NAME
    assert ask(album, path).in_hand == 0
    dying = []
    for runs in (1, 2):
        # Kept, or the end of the block would be the end of holding it.
        dying.append(InHand(record, 1).holding(0, bytes(path)))
        dying[-1].__enter__()
        assert ask(album, path).in_hand == runs
        assert ask(album, album.photos / "a.png").in_hand == 0
    album.add("new.png", (1, 2, 3))
    album.index()
    assert ask(album, path).in_hand == 0


def test_a_changed_photo(album: Album) -> None:
    album.add("b.png", (1, 1, 1))
    found = ask(album, album.photos / "b.png")
    assert (found.state, found.unchanged, found.same_stat) == ("live", False, False)


def test_a_file_with_a_problem(album: Album) -> None:
    found = ask(album, album.photos / "cut.jpg")
    assert found.state == "problem"
    assert found.why.startswith("damaged: ")
    assert found.record is not None
    assert (found.record.content_hash, found.record.facts) == (None, None)
    assert (found.embeddings, found.copies, found.unchanged) == ((), (), None)


def test_files_without_a_row_and_why(album: Album, tmp_path: Path) -> None:
    (album.photos / "scan.tif").write_bytes(b"x")
    (album.photos / "new.png").write_bytes(b"x")
    (album.photos / "link.png").symlink_to("a.png")
    expected = {
        album.photos / "scan.tif": ("ignored", f"*.tif in {album.photos}/.clipsearchignore"),
        album.photos / "new.png": ("not indexed", "it is newer than the last index run"),
        album.photos / "link.png": ("not indexed", "it is passed over: not a regular file"),
        album.photos / "none.png": ("not indexed", "there is no such file"),
        tmp_path / "else.png": ("not indexed", "it is in no folder of this library"),
    }
    for path, (state, why) in expected.items():
        found = ask(album, path)
        assert found.state == state
        assert found.why.startswith(why), path
        assert (found.record, found.embeddings, found.same_stat) == (None, (), None)
    assert ask(album, tmp_path / "else.png").root is None
    assert not ask(album, tmp_path / "else.png").root_online


def test_a_path_may_be_relative_or_lead_through_links(
    album: Album, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(album.photos / "sub")
    assert ask(album, "../a.png").state == "live"
    (tmp_path / "shortcut").symlink_to(album.photos)
    found = ask(album, tmp_path / "shortcut" / "a.png")
    assert (found.state, found.path) == ("live", bytes(album.photos / "a.png"))


def test_a_name_may_be_of_any_bytes_and_any_length(album: Album) -> None:
    for name in (b"caf\xe9\n\x1b[31m.png", b"x" * 300, b"..\xff"):
        found = ask(album, bytes(album.photos) + b"/" + name)
        assert (found.state, found.record) == ("not indexed", None)


def test_a_row_that_does_not_fit_is_damage(album: Album) -> None:
    with Library.open(album.library) as library:
        library.catalogue._db.change("UPDATE photos SET checksum = 1")
    with pytest.raises(DamageError, match=r"The row of .*a\.png"):
        ask(album, album.photos / "a.png")


def test_a_folder_that_is_away(album: Album) -> None:
    album.photos.rename(album.photos.with_name("unmounted"))
    found = ask(album, album.photos / "a.png")
    assert (found.state, found.root_online, found.now.content_hash) == ("live", False, None)
