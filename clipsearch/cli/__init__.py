"""The command line: the only room that knows typer and rich, prints, or sets an exit code.

One file a command: parse, call the use case, show. Commands import their use case inside the
function, so that `--help` costs no more than Python, typer and this room.
"""


def main() -> int:
    """The `clipsearch` program: run it with this process's arguments; the exit code comes back."""
    import sys

    from clipsearch.cli.program import run

    return run(sys.argv[1:])
