"""What to do next when the operating system refuses to write: the one place where that is said."""

import errno

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_FORBIDDEN = frozenset({errno.EACCES, errno.EPERM})


def is_full(error: OSError) -> bool:
    """Whether freeing space would help, or raising a limit: the place itself is good."""
    return error.errno in _FULL


def when_full(elsewhere: str) -> str:
    """The next step where space is lacking. `elsewhere` is the way to another place, in words."""
    return f"Free some space and run it again, or {elsewhere}: what was finished is kept"


def next_step(error: OSError, elsewhere: str) -> str:
    """The next step after a refused write. `elsewhere` is the way to another place, in words."""
    match error.errno:
        case number if number in _FULL:
            return when_full(elsewhere)
        case number if number in _FORBIDDEN:
            return f"Check its permissions, or {elsewhere}"
        case errno.EROFS:
            return f"That disk can only be read: {elsewhere}"
        case errno.ENOENT:
            return f"Check that its folder is there, or {elsewhere}"
        case errno.ENOTDIR:
            return f"A part of that path is a file, not a folder: {elsewhere}"
        case errno.EIO:
            return f"Check that disk, or {elsewhere}"
        case _:
            return elsewhere[:1].upper() + elsewhere[1:]
