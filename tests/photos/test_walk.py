import os
from pathlib import Path

import pytest

from clipsearch.photos import walk as walking
from clipsearch.photos.files import file_stat
from clipsearch.photos.ignore import IgnoreRules
from clipsearch.photos.walk import ListedFolder, walk


def build(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"x")


def listed(
    root: Path, start: bytes = b"", rules: IgnoreRules | None = None
) -> dict[bytes, ListedFolder]:
    folders = list(walk(os.fsencode(root), start, rules or IgnoreRules()))
    assert len({folder.path for folder in folders}) == len(folders)
    return {folder.path: folder for folder in folders}


def names(folder: ListedFolder) -> list[bytes]:
    return [file.name for file in folder.files]


def test_folders_come_parents_first_with_their_files(tmp_path: Path) -> None:
    build(tmp_path, "b.jpg", "a.jpg", "x/y/c.jpg", "z/d.jpg")
    folders = listed(tmp_path)
    assert list(folders) == [b"", b"x", b"x/y", b"z"]
    assert names(folders[b""]) == [b"a.jpg", b"b.jpg"]
    assert folders[b""].subfolders == {b"x", b"z"}
    assert names(folders[b"x/y"]) == [b"c.jpg"]
    assert all(folder.complete and not folder.problems for folder in folders.values())
    assert folders[b"z"].files[0].stat == file_stat((tmp_path / "z/d.jpg").lstat())


def test_a_start_below_the_root_lists_only_that_with_the_rules_above(tmp_path: Path) -> None:
    build(tmp_path, "a.jpg", "x/b.jpg", "x/c.png", "x/y/d.jpg", "x/y/e.png")
    (tmp_path / ".clipsearchignore").write_text("*.png\n")
    folders = listed(tmp_path, b"x")
    assert list(folders) == [b"x", b"x/y"]
    assert names(folders[b"x"]) == [b"b.jpg"]
    assert folders[b"x/y"].ignored == {b"e.png"}


def test_ignored_names_are_told_apart_from_missing_ones(tmp_path: Path) -> None:
    build(tmp_path, "a.jpg", ".hidden.jpg", "@eaDir/t.jpg", "drafts/b.jpg", "c.xmp")
    (tmp_path / ".clipsearchignore").write_text("drafts/\n")
    folder = listed(tmp_path, rules=IgnoreRules(exclude=("*.xmp",)))[b""]
    assert names(folder) == [b"a.jpg"]
    assert folder.ignored == {b".hidden.jpg", b"@eaDir", b"drafts", b"c.xmp", b".clipsearchignore"}
    assert folder.subfolders == frozenset()


def test_nested_ignore_files_hold_below_their_folder(tmp_path: Path) -> None:
    build(tmp_path, "a.jpg", "x/a.jpg", "x/y/a.jpg", "z/a.jpg")
    (tmp_path / "x" / ".clipsearchignore").write_text("a.jpg\n")
    folders = listed(tmp_path)
    assert {path: names(folder) for path, folder in folders.items()} == {
        b"": [b"a.jpg"],
        b"x": [],
        b"x/y": [],
        b"z": [b"a.jpg"],
    }


def test_an_ignore_file_that_cannot_be_read_keeps_its_folder_out(tmp_path: Path) -> None:
    build(tmp_path, "a.jpg", "x/secret.jpg")
    (tmp_path / "x" / ".clipsearchignore").mkdir()
    folders = listed(tmp_path)
    assert names(folders[b""]) == [b"a.jpg"]
    assert not folders[b"x"].complete
    assert folders[b"x"].files == []
    assert [problem.kind for problem in folders[b"x"].problems] == ["unreadable"]


def test_an_ignore_file_above_the_start_that_cannot_be_read_keeps_it_out(tmp_path: Path) -> None:
    build(tmp_path, "x/y/a.jpg")
    (tmp_path / "x" / ".clipsearchignore").mkdir()
    folder = listed(tmp_path, b"x/y")[b"x/y"]
    assert (folder.complete, folder.files) == (False, [])
    assert [p.reason for p in folder.problems] == ["an ignore file above it cannot be read"]


def test_an_ignore_file_on_a_broken_disk_keeps_its_folder_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(tmp_path, "a.jpg")
    (tmp_path / ".clipsearchignore").write_text("a.jpg")

    def broken(descriptor: int, count: int) -> bytes:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(walking.os, "read", broken)
    folder = listed(tmp_path)[b""]
    assert (folder.complete, folder.files, len(folder.problems)) == (False, [], 1)


@pytest.mark.row("C13")
def test_names_that_are_no_text(tmp_path: Path) -> None:
    root = os.fsencode(tmp_path)
    wanted = sorted([b"\xff\xfe.jpg", b"new\nline.jpg", b"--help.jpg", "é.jpg".encode(), b"%_.jpg"])
    for name in wanted:
        with open(root + b"/" + name, "wb"):
            pass
    assert names(listed(tmp_path)[b""]) == wanted


@pytest.mark.row("C11", "C12")
@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes among files")
def test_links_and_special_files_are_passed_over(tmp_path: Path) -> None:
    build(tmp_path, "real/a.jpg")
    os.mkfifo(tmp_path / "fifo.jpg")
    (tmp_path / "link.jpg").symlink_to("real/a.jpg")
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "broken").symlink_to("nowhere")
    folders = listed(tmp_path)
    assert list(folders) == [b"", b"real"]
    assert (folders[b""].files, folders[b""].complete) == ([], True)


class FailingDisk:
    """`os.scandir` of one folder: a script of r (an entry), then E (an error) or an early end."""

    def __init__(self, folder: bytes, entries: int, error: OSError | None) -> None:
        self.folder = folder
        self.entries = entries
        self.error = error
        self.real = os.scandir

    def __call__(self, path: bytes) -> object:
        self.inner = self.real(path)
        self.left = self.entries if path == self.folder else 1 << 30
        return self

    def __enter__(self) -> "FailingDisk":
        return self

    def __exit__(self, *error: object) -> None:
        self.inner.close()

    def __iter__(self) -> "FailingDisk":
        return self

    def __next__(self) -> object:
        if not self.left and self.error:
            raise self.error
        self.left -= 1
        return next(self.inner)


@pytest.mark.row("C4")
@pytest.mark.parametrize("entries", range(4))
def test_a_listing_that_breaks_off_is_never_complete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, entries: int
) -> None:
    build(tmp_path, "a.jpg", "b.jpg", "c.jpg", "d.jpg")
    disk = FailingDisk(os.fsencode(tmp_path), entries, OSError(5, "Input/output error"))
    monkeypatch.setattr(walking, "scandir", disk)
    folder = listed(tmp_path)[b""]
    assert len(folder.files) == entries
    assert not folder.complete
    assert [(problem.kind, problem.reason) for problem in folder.problems] == [
        ("unreadable-folder", "input/output error")
    ]


@pytest.mark.row("C4")
@pytest.mark.parametrize(
    ("error", "problems"),
    [(FileNotFoundError(2, "gone"), 0), (OSError(107, "Not connected"), 1)],
)
def test_an_entry_that_cannot_be_asked_makes_its_folder_incomplete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: OSError, problems: int
) -> None:
    build(tmp_path, "a.jpg", "b.jpg", "x/c.jpg")
    real = os.lstat

    def failing(path: bytes) -> os.stat_result:
        if path.endswith(b"b.jpg"):
            raise error
        return real(path)

    monkeypatch.setattr(walking, "lstat", failing)
    folders = listed(tmp_path)
    assert names(folders[b""]) == [b"a.jpg"]
    assert not folders[b""].complete
    assert len(folders[b""].problems) == problems
    assert folders[b"x"].complete


def test_a_folder_without_permission_is_one_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(tmp_path, "a.jpg", "x/b.jpg")
    real = os.scandir

    def refuse(path: bytes) -> object:
        if path.endswith(b"/x"):
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(walking, "scandir", refuse)
    folders = listed(tmp_path)
    assert folders[b""].complete
    assert not folders[b"x"].complete
    assert folders[b"x"].problems[0].path == os.fsencode(tmp_path / "x")
    assert folders[b"x"].problems[0].reason == "permission denied"


def test_a_root_that_is_not_there(tmp_path: Path) -> None:
    folder = listed(tmp_path / "gone")[b""]
    assert (folder.complete, len(folder.problems)) == (False, 1)


@pytest.mark.skipif(os.name == "nt", reason="Windows has other limits on paths")
class TestDepth:
    @pytest.mark.row("C17")
    def test_deeper_than_python_recurses(self, tmp_path: Path) -> None:
        make_deep(tmp_path, b"d", 1100)
        folders = listed(tmp_path)
        assert len(folders) == 1101
        assert all(folder.complete for folder in folders.values())
        remove_deep(tmp_path, b"d", 1100)

    @pytest.mark.row("C13")
    def test_a_path_too_long_for_the_system_is_a_problem_and_no_end(self, tmp_path: Path) -> None:
        name = b"n" * 200
        make_deep(tmp_path, name, 25)
        build(tmp_path, "z/after.jpg")
        folders = listed(tmp_path)
        assert names(folders[b"z"]) == [b"after.jpg"]
        broken = [folder for folder in folders.values() if not folder.complete]
        reasons = {problem.reason for folder in broken for problem in folder.problems}
        assert reasons == {"the path is too long for this system"}
        remove_deep(tmp_path, name, 25)


def make_deep(top: Path, name: bytes, depth: int) -> None:
    current = os.open(top, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir(name, dir_fd=current)
        deeper = os.open(name, os.O_RDONLY, dir_fd=current)
        os.close(current)
        current = deeper
    os.close(current)


def remove_deep(top: Path, name: bytes, depth: int) -> None:
    """pytest's own clean-up recurses: take the folders away from the deepest up."""
    opened = [os.open(top, os.O_RDONLY)]
    for start in range(0, depth, 15):
        path = b"/".join([name] * min(15, depth - start))
        opened.append(os.open(path, os.O_RDONLY, dir_fd=opened[-1]))
    for start in reversed(range(0, depth, 15)):
        os.close(opened.pop())
        for length in range(min(15, depth - start), 0, -1):
            os.rmdir(b"/".join([name] * length), dir_fd=opened[-1])
    os.close(opened.pop())
