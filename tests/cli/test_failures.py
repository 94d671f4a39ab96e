"""Whatever goes wrong is one line, without control characters, with the right exit code."""

import errno
import sqlite3
from pathlib import Path

import pytest

from clipsearch import errors
from clipsearch.cli.failures import Failure, explain


def test_our_errors_carry_their_message_remedy_and_code() -> None:
    error = errors.LockedError("the library is in use by process 7", "Wait for it to end.")
    assert explain(error) == Failure(
        "clipsearch: the library is in use by process 7. Wait for it to end.", 11
    )


@pytest.mark.parametrize(
    ("kind", "code"),
    [(errors.ClipsearchError, 6), (errors.UsageError, 2), (errors.QueryError, 2),
     (errors.DamageError, 4), (errors.ModelMismatchError, 5), (errors.LockedError, 11),
     (errors.ModelUnavailableError, 6), (errors.MissingExtraError, 6), (errors.StorageError, 6)],
)  # fmt: skip
def test_exit_codes(kind: type[errors.ClipsearchError], code: int) -> None:
    assert explain(kind("m")) == Failure("clipsearch: m.", code)


def test_names_in_messages_cannot_break_the_line_or_the_terminal() -> None:
    failure = explain(errors.UsageError("There is no folder a\nb\x1b[2J"))
    assert failure.line == "clipsearch: There is no folder a\\nb\\x1b[2J."


def test_system_errors_name_the_file_and_the_remedy() -> None:
    full = explain(OSError(errno.ENOSPC, "No space left on device", b"/library/x"))
    assert full.exit_code == 6
    assert full.line.startswith("clipsearch: No space left on device: /library/x. Free some space")
    denied = explain(PermissionError(errno.EACCES, "Permission denied", "/library"))
    assert "Check its permissions" in denied.line


def test_the_folder_that_a_command_was_started_in_may_be_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nameless = FileNotFoundError(errno.ENOENT, "No such file or directory")
    assert explain(nameless).line == "clipsearch: No such file or directory."
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(FileNotFoundError) as caught:
        Path("photos").absolute()
    line = explain(caught.value).line
    assert line == "clipsearch: the folder that this was started in is gone. Change to another one."


def test_a_damaged_catalogue_that_nobody_translated_is_damage(tmp_path: Path) -> None:
    file = tmp_path / "catalogue.sqlite"
    file.write_bytes(b"no database" * 100)
    with pytest.raises(sqlite3.DatabaseError) as caught:
        sqlite3.connect(file).execute("SELECT * FROM sqlite_master")
    failure = explain(caught.value)
    assert failure.exit_code == 4
    assert "damaged" in failure.line


def test_other_catalogue_errors_could_not_run(tmp_path: Path) -> None:
    with pytest.raises(sqlite3.OperationalError) as caught:
        sqlite3.connect(tmp_path / "no" / "folder.sqlite")
    assert explain(caught.value).exit_code == 6


def test_a_bug_is_one_line_that_says_how_to_report_it() -> None:
    failure = explain(KeyError("two\nlines"))
    assert failure.exit_code == 6
    assert failure.line.startswith("clipsearch: internal error, KeyError:")
    assert "CLIPSEARCH_TRACEBACK=1" in failure.line
    assert "\n" not in failure.line
