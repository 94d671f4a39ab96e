"""A disk that comes, goes and lies as a script says, in place of `os` in the modules that scan.

A script is a list of (operation, condition): from the so-manieth call of the file system on, the
disk is in that condition. Everything else is asked of the real album, so that a file that the shim
does not hide can be trusted to be there.
"""

import errno
import os
from collections.abc import Iterator
from random import Random
from typing import Any

# What a path below the root answers. "gone": nothing is mounted any more, and the mount point is
# not there either; "empty": it is there; "other": another disk is mounted; "short": listings end
# too early without a word; the rest fail with that error.
CONDITIONS = ("well", "gone", "empty", "other", "short", "EIO", "ENOTCONN", "ESTALE", "EACCES")
Script = list[tuple[int, str]]


def random_script(chance: Random, operations: int) -> Script:
    """One to four changes at any of the first `operations` calls; often it is well in the end."""
    moments = sorted(chance.randrange(operations) for _ in range(chance.randint(1, 4)))
    script = [(moment, chance.choice(CONDITIONS)) for moment in moments]
    if chance.random() < 0.5:
        script.append((chance.randrange(moments[-1], operations + 1), "well"))
    return script


class ScriptedDisk:
    """Stands where a module has `os`; what is not about files below the root is the real one's."""

    def __init__(self, root: bytes, empty: bytes, other: bytes) -> None:
        """`empty` and `other` are real folders that take the root's place."""
        self._root = root
        self._stand_ins = {"empty": empty, "other": other}
        self._folders: dict[int, str] = {}
        self.script: Script = []
        self.deleted: frozenset[bytes] = frozenset()
        self.operations = 0
        self.supports_dir_fd = {self.stat}

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def begin(self, script: Script, deleted: frozenset[bytes]) -> None:
        """Start counting again. `deleted` are paths that really are no longer there."""
        self.script = script
        self.deleted = deleted
        self.operations = 0
        self._folders.clear()

    # What the scan calls

    def scandir(self, path: bytes) -> "Listing":
        condition = self._next()
        return Listing(self, os.scandir(self._place(path, condition)), condition)

    def lstat(self, path: bytes) -> os.stat_result:
        return os.lstat(self._place(path, self._next()))

    def stat(
        self, path: bytes, *, dir_fd: int | None = None, follow_symlinks: bool = True
    ) -> os.stat_result:
        condition = self._next()
        if dir_fd is None:
            return os.stat(self._place(path, condition), follow_symlinks=follow_symlinks)
        own = self._folders[dir_fd]
        if own == "well":
            # A disk that was unmounted while it is in use answers truly, or not at all.
            self._fail_unless_answering(condition)
            self._require_kept(os.path.join(self._root, path))
        return os.stat(path, dir_fd=dir_fd, follow_symlinks=follow_symlinks)

    def listdir(self, path: bytes) -> list[bytes]:
        return os.listdir(self._place(path, self._next()))

    def open(self, path: bytes, flags: int, mode: int = 0o777) -> int:
        condition = self._next()
        descriptor = os.open(self._place(path, condition), flags, mode)
        self._folders[descriptor] = condition if condition in self._stand_ins else "well"
        return descriptor

    # How it answers

    def _next(self) -> str:
        self.operations += 1
        return self.condition()

    def condition(self) -> str:
        """The condition of the disk just now."""
        current = "well"
        for moment, condition in self.script:
            if moment < self.operations:
                current = condition
        return current

    def _place(self, path: bytes, condition: str) -> bytes:
        """The real path that answers for `path`, which may be another's; or an error."""
        if path != self._root and not path.startswith(self._root + b"/"):
            return path
        if condition in self._stand_ins:
            return self._stand_ins[condition] + path[len(self._root) :]
        if condition == "gone":
            raise FileNotFoundError(errno.ENOENT, "No such file or directory")
        self._fail_unless_answering(condition)
        self._require_kept(path)
        return path

    def _fail_unless_answering(self, condition: str) -> None:
        number = errno.EIO if condition == "gone" else getattr(errno, condition, None)
        if number is not None:
            raise OSError(number, os.strerror(number))

    def _require_kept(self, path: bytes) -> None:
        if path in self.deleted:
            raise FileNotFoundError(errno.ENOENT, "No such file or directory")


class Listing:
    """An open folder. What was read before the disk went stays read."""

    def __init__(self, disk: ScriptedDisk, entries: Any, opened_in: str) -> None:
        self._disk = disk
        self._entries = entries
        self._opened_in = opened_in

    def __enter__(self) -> Iterator[Any]:
        return self

    def __exit__(self, *error: object) -> None:
        self._entries.close()

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        condition = self._disk._next()
        if condition != self._opened_in:
            if condition in ("short", "empty", "other"):
                raise StopIteration
            self._disk._fail_unless_answering(condition)
        entry = next(self._entries)
        while entry.path in self._disk.deleted:
            entry = next(self._entries)
        return entry
