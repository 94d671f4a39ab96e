"""The command reference of the README, made from the commands themselves.

python -m clipsearch.cli.reference README.md     bring the part between the markers up to date
"""

import sys
from collections.abc import Iterator
from pathlib import Path

from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption
from typer.main import get_command

from clipsearch.cli.app import app

BEGIN = "<!-- commands -->"
END = "<!-- /commands -->"

Command = TyperCommand | TyperGroup


def main(arguments: list[str]) -> int:
    """Rewrite the reference in the file that is named."""
    (name,) = arguments
    path = Path(name)
    path.write_text(with_reference(path.read_text("utf-8")), "utf-8")
    return 0


def with_reference(text: str) -> str:
    """`text` with everything between the two markers replaced by the reference."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{reference()}\n{END}{after}"


def reference() -> str:
    """A table of the commands, then each of them in full, folded away."""
    named = list(commands())
    lines = ["| command | what it does |", "|---|---|"]
    lines += [f"| `{name}` | {first_sentence(command)} |" for name, command in named]
    for name, command in named:
        if not isinstance(command, TyperGroup):
            lines += ["", *_in_full(name, command)]
    return "\n".join(lines) + "\n"


def commands() -> Iterator[tuple[str, Command]]:
    """Every command with its whole name, groups before what is in them."""
    group = get_command(app)
    assert isinstance(group, TyperGroup)
    yield from _inside(group, "clipsearch")


def _inside(group: TyperGroup, name: str) -> Iterator[tuple[str, Command]]:
    for part, command in group.commands.items():
        assert isinstance(command, TyperCommand | TyperGroup)
        yield f"{name} {part}", command
        if isinstance(command, TyperGroup):
            yield from _inside(command, f"{name} {part}")


def first_sentence(command: Command) -> str:
    """What a command does, in one sentence."""
    paragraph = " ".join((command.help or "").split("\n\n")[0].split())
    return paragraph.partition(". ")[0].rstrip(".") + "."


def _in_full(name: str, command: Command) -> Iterator[str]:
    # Written from the parameters, not from the help page: its layout is typer's, and changes.
    arguments = [param for param in command.params if isinstance(param, TyperArgument)]
    options = [param for param in command.params if isinstance(param, TyperOption)]
    usage = " ".join([name, *map(_usage, arguments), *(["[OPTIONS]"] if options else [])])
    yield f"<details><summary><code>{usage}</code></summary>"
    yield ""
    yield from (command.help or "").strip().splitlines()
    yield ""
    yield from (f"- `{param.metavar}`: {_meaning(param)}" for param in arguments)
    yield from (f"- `{_spelling(param)}`: {_meaning(param)}" for param in options)
    if command.epilog:
        yield ""
        yield "```"
        yield from (line.strip() for line in command.epilog.splitlines()[2:])
        yield "```"
    yield ""
    yield "</details>"


def _usage(param: TyperArgument) -> str:
    shown = f"{param.metavar}..." if param.nargs == -1 else str(param.metavar)
    return shown if param.required else f"[{shown}]"


def _spelling(param: TyperOption) -> str:
    names = ", ".join(param.opts)
    return names if param.is_flag else f"{names} {param.metavar}"


def _meaning(param: TyperArgument | TyperOption) -> str:
    default = param.default
    shown = "" if default is None or default is False else f" Default: {default}."
    return f"{' '.join((param.help or '').split())}{shown}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
