"""H4: what programs read is always JSON in UTF-8, and names every file byte for byte."""

import base64
import json
import os

import pytest

from tests.cli.program import Program
from tests.fault.outputs.hostile import NAMES

pytestmark = pytest.mark.row("H4")


def path_of(record: dict[str, object]) -> bytes:
    """The exact path that a JSON line names."""
    exact = record.get("path_bytes")
    return base64.b64decode(str(exact)) if exact else str(record["path"]).encode("utf-8")


def lines_of(raw: bytes) -> list[dict[str, object]]:
    records = []
    for line in raw.decode("utf-8", "strict").splitlines():
        assert line.isprintable()
        records.append(json.loads(line, parse_constant=lambda name: pytest.fail(name)))
    return records


@pytest.mark.parametrize(
    "arguments",
    [
        ["search", "red", "-k", "100"],
        ["search", "in:album", "-k", "100"],
        ["classify", "album", "--labels-file", "labels.csv"],
    ],
    ids=lambda arguments: " ".join(arguments),
)
@pytest.mark.parametrize("language", ["C", "C.UTF-8"])
def test_every_photo_is_named_exactly(
    hostile: Program, arguments: list[str], language: str
) -> None:
    answer = hostile.run(*arguments, "--json", LC_ALL=language, PYTHONUTF8="0")
    records = [record for record in lines_of(answer.raw) if "path" in record]
    paths = [path_of(record) for record in records]
    assert {os.path.basename(path) for path in paths} == set(NAMES)
    assert all(os.path.exists(path) for path in paths)


@pytest.mark.parametrize(
    "arguments",
    [
        ["index"],
        ["library", "status"],
        ["library", "roots"],
        ["library", "problems"],
        ["library", "check", "--read-data"],
        ["library", "where"],
        ["models", "list"],
        ["doctor"],
    ],
    ids=lambda arguments: " ".join(arguments),
)
def test_every_other_command_speaks_json_too(hostile: Program, arguments: list[str]) -> None:
    answer = hostile.run(*arguments, "--json")
    assert lines_of(answer.raw)
    for line in answer.errors.splitlines():
        if line.startswith("{"):
            json.loads(line)


def test_raw_paths_open_the_files_they_name(hostile: Program) -> None:
    raw = hostile.run("search", "red", "-k", "100", "--print0").raw
    paths = raw.split(b"\0")
    assert paths.pop() == b""
    assert {os.path.basename(path) for path in paths} == set(NAMES)
    assert all(os.path.isfile(path) for path in paths)
