"""The README's command reference is what the commands themselves say."""

from pathlib import Path

import pytest
from typer.core import TyperArgument, TyperGroup, TyperOption

from clipsearch.cli.reference import BEGIN, END, commands, reference, with_reference

README = Path(__file__).resolve().parents[2] / "README.md"


def test_the_readme_is_in_step() -> None:
    text = README.read_text("utf-8")
    assert text.count(BEGIN) == text.count(END) == 1
    assert with_reference(text) == text, "run: python -m clipsearch.cli.reference README.md"


@pytest.mark.parametrize(("name", "command"), list(commands()), ids=lambda v: str(v)[:40])
def test_every_command_and_parameter_is_explained(name: str, command: object) -> None:
    assert isinstance(command, TyperGroup) or command.help  # type: ignore[attr-defined]
    for param in getattr(command, "params", []):
        assert isinstance(param, TyperArgument | TyperOption)
        assert param.help, f"{name}: {param.name}"
        if isinstance(param, TyperArgument) or not param.is_flag:
            assert param.metavar, f"{name}: {param.name}"


def test_every_command_is_in_the_reference() -> None:
    text = reference()
    for name, command in commands():
        assert f"| `{name}` |" in text
        if not isinstance(command, TyperGroup):
            assert f"<summary><code>{name}" in text


def test_only_what_lies_between_the_markers_is_replaced() -> None:
    text = with_reference(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    assert text.startswith(f"before\n{BEGIN}\n\n| command")
    assert text.endswith(f"{END}\nafter\n")
    assert "old" not in text.split("|")[0]
    assert with_reference(text) == text
