"""What the commands' arguments have in common, and the one clash between two languages.

A query may contain `-people` (leave people out), which a command line takes for an option. Here is
the one place that tells them apart: everything with two dashes is an option; with one dash only
`-k`, `-k5`, `-0` and `-h` are, and the rest belongs to the query. After `--` all belongs to it.
"""

import os
import re
from collections.abc import Collection, Mapping, Sequence

import typer
from typer.core import TyperCommand, TyperOption

from clipsearch.errors import UsageError

_SHORT_WITH_NUMBER = re.compile(r"-[a-z]=?[+-]?[0-9]+", re.ASCII)


def examples(*lines: str) -> str:
    """The examples at the end of a command's help. `\\b` keeps typer from joining the lines."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


def as_paths(arguments: Sequence[str]) -> list[bytes]:
    """Paths as the shell gave them; `~` is the shell's, so it is not expanded again.

    Raises UsageError for an empty one: taken for a path it would be the current directory.
    """
    for argument in arguments:
        refuse_empty("the folder's name", argument)
    return [os.fsencode(argument) for argument in arguments]


def refuse_empty(what: str, given: str | None) -> None:
    """Raise UsageError for text that is there and empty, as an unset "$DIR" leaves it."""
    if given == "":
        raise UsageError(f"{what} is empty", "Is it a variable that is not set?")


def at_most_one(given: Mapping[str, object]) -> None:
    """Raise UsageError when more than one of these contradicting options is given."""
    names = [name for name, value in given.items() if value]
    if len(names) > 1:
        raise UsageError(f"{' and '.join(names)} are given together", "Choose one of them")


def options_first(
    arguments: Sequence[str], *, flags: Collection[str], with_value: Collection[str]
) -> list[str]:
    """`arguments` in another order: options and their values, `--`, the words of the query.

    `flags` and `with_value` are the options' names with their dashes.

    Raises UsageError for `-json` where `--json` is an option, because it could mean either, and for
    an option whose value is missing.
    """
    options: list[str] = []
    words: list[str] = []
    rest = iter(arguments)
    for argument in rest:
        if argument == "--":
            words.extend(rest)
        elif argument in with_value:
            value = next(rest, None)
            if value is None:
                raise UsageError(f"{argument} needs a value", "It stands at the end of the line")
            options.extend([argument, value])
        elif argument in flags or (argument.startswith("--") and argument != "--"):
            options.append(argument)
        elif _SHORT_WITH_NUMBER.fullmatch(argument) and argument[:2] in with_value:
            options.extend([argument[:2], argument[2:].removeprefix("=")])
        elif f"-{argument}" in {*flags, *with_value}:
            word = argument[1:]
            raise UsageError(
                f"{argument} could mean the option --{word} without a dash, or leave out {word!r}",
                f"Write -{argument} for the option, or the query after two dashes: -- {argument}",
            )
        else:
            words.append(argument)
    return [*options, "--", *words]


class QueryCommand(TyperCommand):
    """A command whose arguments are a query."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        """Read the options that are given and leave the query's words untouched."""
        options = [param for param in self.get_params(ctx) if isinstance(param, TyperOption)]
        flags = {name for option in options if option.is_flag for name in option.opts}
        with_value = {name for option in options if not option.is_flag for name in option.opts}
        ordered = options_first(args, flags=flags, with_value=with_value)
        return super().parse_args(ctx, ordered)
