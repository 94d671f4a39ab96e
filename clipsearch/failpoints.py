"""Named places where a test may stop the process: inert unless CLIPSEARCH_FAILPOINT is set.

`CLIPSEARCH_FAILPOINT=after_commit:3=exit` kills the process, as `kill -9` would, the third time
`reach("after_commit")` is called; `=raise` raises OSError(EIO) there instead.
"""

import errno
import os
import signal
from collections import Counter

_reached: Counter[str] = Counter()


def reach(name: str) -> None:
    """Say that the place `name` has been reached. Does nothing without the variable."""
    wanted = os.environ.get("CLIPSEARCH_FAILPOINT")
    if wanted is None:
        return
    place, _, action = wanted.partition("=")
    place, _, count = place.partition(":")
    if place != name:
        return
    _reached[name] += 1
    if _reached[name] != int(count or 1):
        return
    if action == "exit":
        # SIGKILL leaves no chance to clean up, as a power cut would; Windows lacks it.
        os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))
    raise OSError(errno.EIO, f"failpoint {name}")
