"""Which rule keeps a file out of an index run: the same rules as a scan's, asked about one path."""

import os

from clipsearch.photos.ignore import IGNORE_FILE, IgnoreRules
from clipsearch.photos.patterns import parse_pattern

_MOST_RULES_BYTES = 1_000_000


def ignoring_rule(root: bytes, path: bytes) -> str | None:
    """What keeps the file at `path`, relative to `root`, or a folder on the way to it, out.

    None when a scan would take it. What an index run was told with --exclude or --hidden is written
    down nowhere, so it does not count here.
    """
    names = path.split(b"/")
    for depth in range(len(names)):
        part = b"/".join(names[: depth + 1])
        rule = _rule_for(root, part, is_folder=depth < len(names) - 1)
        if rule is not None:
            return rule
    return None


def _rule_for(root: bytes, path: bytes, *, is_folder: bool) -> str | None:
    shown = os.fsdecode(path)
    parent = os.path.basename(os.path.join(root, os.path.dirname(path)).rstrip(b"/"))
    if IgnoreRules(hidden=True).ignores(path, is_folder=is_folder, parent=parent):
        return f"{shown} belongs to the system or to another program"
    if IgnoreRules().ignores(path, is_folder=is_folder, parent=parent):
        return f"{shown} is hidden: its name begins with a dot"
    return _pattern_for(root, path, is_folder=is_folder)


def _pattern_for(root: bytes, path: bytes, *, is_folder: bool) -> str | None:
    """The line of an ignore file that decides: the last one that matches, the deepest file's."""
    decided = None
    names = path.split(b"/")
    for depth in range(len(names)):
        file = os.path.join(root, *names[:depth], IGNORE_FILE)
        for line in _lines(file):
            pattern = parse_pattern(line)
            if pattern is not None and pattern.matches(names[depth:], is_folder):
                rule = f"{os.fsdecode(line.strip())} in {os.fsdecode(file)}"
                decided = None if pattern.negated else rule
    return decided


def _lines(file: bytes) -> list[bytes]:
    try:
        with open(file, "rb", opener=_open_without_waiting) as opened:
            return opened.read(_MOST_RULES_BYTES).removeprefix(b"\xef\xbb\xbf").splitlines()
    except OSError:
        return []


def _open_without_waiting(file: str, flags: int) -> int:
    # A pipe of that name must not hang the question.
    return os.open(file, flags | getattr(os, "O_NONBLOCK", 0))
