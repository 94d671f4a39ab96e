"""Which photos a run learned from, written and read."""

from pathlib import Path

import pytest

from clipsearch.errors import DamageError
from clipsearch.pairs.learned import NAME, PartOf, as_lines, contents_with_a_say

PHOTOS = [
    PartOf("learned", b"\x01" * 32, "a\tb\n.jpg"),
    PartOf("validation", b"\x02" * 32, "c.jpg"),
    PartOf("test", b"\x03" * 32, "d.jpg"),
]


def write(run: Path) -> None:
    (run / NAME).write_text("".join(as_lines(PHOTOS)))


def test_what_was_learned_from_and_chosen_by_had_a_say(tmp_path: Path) -> None:
    write(tmp_path)
    assert contents_with_a_say(tmp_path) == {b"\x01" * 32, b"\x02" * 32}


def test_a_run_that_kept_the_original_has_learned_nothing(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "report.json").write_text('{"word": "better"}')
    assert len(contents_with_a_say(tmp_path)) == 2
    (tmp_path / "report.json").write_text('{"word": "kept"}')
    assert contents_with_a_say(tmp_path) == frozenset()


def test_what_is_no_run_has_learned_nothing(tmp_path: Path) -> None:
    assert contents_with_a_say(tmp_path / "starter") == frozenset()


def test_a_damaged_list_is_said(tmp_path: Path) -> None:
    (tmp_path / NAME).write_text("part\tsha256\tphoto\nlearned\tno hash\tx\n")
    with pytest.raises(DamageError, match=r"photos\.tsv cannot be read"):
        contents_with_a_say(tmp_path)
