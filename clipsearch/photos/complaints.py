"""What decoders written in C say on standard error, where they do not fail over damage."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

_MOST_BYTES = 65_536

# libtiff reports damaged fax data and goes on with white lines.
_DAMAGE = re.compile(r"^Fax\w*: (.*)", re.MULTILINE)


class Complaints:
    """The words collected by `collect_complaints`, complete once its block has ended."""

    def __init__(self) -> None:
        self.text = ""

    def damage(self) -> str | None:
        """The first complaint that means damaged pixels, if there is one."""
        found = _DAMAGE.search(self.text)
        return found.group(1).rstrip(". \n") if found else None


@contextmanager
def collect_complaints() -> Iterator[Complaints]:
    """Catch what is written to this process's standard error within the block.

    The descriptor belongs to the whole process: for workers, which do one thing at a time. On
    Windows, whose libraries may each have their own, nothing is caught.
    """
    complaints = Complaints()
    if os.name == "nt":
        yield complaints
        return
    taking, giving = os.pipe()
    saved = os.dup(2)
    # A full pipe drops the rest instead of stopping the decoder.
    os.set_blocking(giving, False)
    os.dup2(giving, 2)
    try:
        yield complaints
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(giving)
        complaints.text = os.read(taking, _MOST_BYTES).decode("utf-8", "replace")
        os.close(taking)
