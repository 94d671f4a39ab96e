"""Patterns of ignore files: the part of gitignore's language that people use.

One pattern a line; blank lines and lines that begin with `#` mean nothing.

    name        a file or folder of that name, at any depth
    *.xmp       `*` is any run of letters but `/`, `?` one letter, `[a-c]` one of these letters
    drafts/     folders only
    /2019       only beside the ignore file (or at the root), not deeper
    2019/raw    a slash in the middle means the same
    a/**/b      `**` is any number of folders
    !keep.jpg   takes back what an earlier pattern left out; a folder left out stays left out

Letters are compared byte for byte, so upper and lower case differ. Begin with a backslash to
mean a `#` or `!` itself.
"""

import fnmatch
import functools
import os
import re
from dataclasses import dataclass

_MOST_PATTERNS = 10_000


@dataclass(frozen=True, slots=True)
class Pattern:
    """One pattern. `segments` are the parts between slashes, None for `**`."""

    segments: tuple[re.Pattern[str] | None, ...]
    anchored: bool
    folders_only: bool
    negated: bool

    def matches(self, path: list[bytes], is_folder: bool) -> bool:
        """Whether the path, in segments from the pattern's own folder on, is meant."""
        if self.folders_only and not is_folder:
            return False
        if not self.anchored:
            return _segment_matches(self.segments[0], path[-1])
        return _segments_match(self.segments, path)


def parse_patterns(text: bytes) -> tuple[Pattern, ...]:
    """The patterns of an ignore file's content."""
    lines = text.removeprefix(b"\xef\xbb\xbf").splitlines()[:_MOST_PATTERNS]
    return tuple(pattern for line in lines if (pattern := parse_pattern(line)) is not None)


@functools.lru_cache(maxsize=256)
def parse_pattern(line: bytes) -> Pattern | None:
    """One line of an ignore file, None when it says nothing."""
    text = os.fsdecode(line).rstrip("\r\n\t ")
    if not text or text.startswith("#"):
        return None
    negated = text.startswith("!")
    text = text[1:] if negated or text.startswith(("\\#", "\\!")) else text
    folders_only = text.endswith("/")
    text = text.rstrip("/")
    anchored = "/" in text
    parts = [part for part in text.split("/") if part]
    if not parts:
        return None
    segments = tuple(None if part == "**" else re.compile(_regex(part)) for part in parts)
    return Pattern(segments, anchored or segments[0] is None, folders_only, negated)


def _regex(glob: str) -> str:
    # fnmatch's translation matches in linear time: patterns may come with a stranger's disk.
    return fnmatch.translate(glob)


def _segment_matches(segment: re.Pattern[str] | None, name: bytes) -> bool:
    return segment is None or segment.match(os.fsdecode(name)) is not None


def _segments_match(segments: tuple[re.Pattern[str] | None, ...], path: list[bytes]) -> bool:
    """Match segment by segment; `reached` holds how many of the pattern's may be used up."""
    reached = {0}
    for name in path:
        reached = _skip_any(segments, reached)
        further: set[int] = set()
        for used in reached:
            if used == len(segments):
                continue
            if segments[used] is None:
                further.add(used)
            elif _segment_matches(segments[used], name):
                further.add(used + 1)
        reached = further
    if segments[-1] is None:
        # `folder/**` means what is inside the folder, not the folder itself.
        return len(segments) - 1 in reached and len(path) >= len(segments)
    return len(segments) in reached


def _skip_any(segments: tuple[re.Pattern[str] | None, ...], reached: set[int]) -> set[int]:
    """`**` may also stand for no folder at all."""
    skipped = set(reached)
    for used in reached:
        following = used
        while following < len(segments) and segments[following] is None:
            following += 1
            skipped.add(following)
    return skipped
