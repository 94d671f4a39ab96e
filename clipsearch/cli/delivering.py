"""What `--open`, `--copy-to` and `--link-to` do with the photos that were found."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from clipsearch.cli.arguments import at_most_one, refuse_empty
from clipsearch.cli.escape import visible, visible_path
from clipsearch.cli.output import note
from clipsearch.errors import ClipsearchError, PhotoError

# More windows than this at once help nobody.
MOST_OPENED = 5


@dataclass(frozen=True, slots=True)
class Delivery:
    """Where photos are to be put: copies or links, in a folder."""

    folder: bytes
    as_links: bool


def delivery_of(copy_to: str | None, link_to: str | None) -> Delivery | None:
    """What the two options ask for. Raises UsageError when both are given, or an empty name."""
    refuse_empty("the folder's name after --copy-to", copy_to)
    refuse_empty("the folder's name after --link-to", link_to)
    at_most_one({"--copy-to": copy_to, "--link-to": link_to})
    folder = copy_to or link_to
    return Delivery(os.path.abspath(os.fsencode(folder)), bool(link_to)) if folder else None


def inside(delivery: Delivery, label: str) -> Delivery:
    """The same for a folder of that label: one folder, whatever characters the label has."""
    name = os.fsencode(re.sub(r"[/\\:\0]", "_", label))
    safe = b"_" + name.lstrip(b".") if name.startswith(b".") else name
    return replace(delivery, folder=os.path.join(delivery.folder, safe[:255]))


def warn_of_copies_found(delivery: Delivery, indexed: Iterable[bytes]) -> None:
    """Say it when copies go where photos are looked for: a later search finds both."""
    folder = os.path.join(os.path.realpath(delivery.folder), b"")
    for root in indexed:
        if not delivery.as_links and folder.startswith(os.path.join(root, b"")):
            note(
                f"clipsearch: {visible_path(delivery.folder)} is in the indexed folder "
                f"{visible_path(root)}: the copies will be indexed and found too."
            )
            return


def deliver(paths: Iterable[bytes], delivery: Delivery) -> int:
    """Put photos into the folder and say how many; returns how many could not be read.

    Raises StorageError when the folder cannot be written.
    """
    from clipsearch.photos.copying import copy_photo, link_photo

    place = link_photo if delivery.as_links else copy_photo
    counts = {"copied": 0, "linked": 0, "present": 0}
    failed = 0
    for path in paths:
        try:
            counts[place(path, delivery.folder).way] += 1
        except PhotoError as error:
            failed += 1
            note(f"clipsearch: {visible(str(error))}.")
    note(f"clipsearch: {_words(counts, delivery)} {visible_path(delivery.folder)}.")
    return failed


def _words(counts: dict[str, int], delivery: Delivery) -> str:
    parts = [f"{counts['linked']:,} linked"] if delivery.as_links else []
    if counts["copied"] or not delivery.as_links:
        # A copy where a link was asked for is said: links cannot be made everywhere.
        reason = ", because links cannot be made there," if delivery.as_links else ""
        parts.append(f"{counts['copied']:,} copied{reason}")
    if counts["present"]:
        parts.append(f"{counts['present']:,} already")
    return ", ".join(parts) + " in"


def open_photos(paths: Sequence[bytes]) -> None:
    """Show photos in the system's own viewer, the first few at most.

    Raises ClipsearchError when the system has nothing to open files with.
    """
    shown = paths[:MOST_OPENED]
    if len(paths) > len(shown):
        note(f"clipsearch: opening the first {len(shown)} of {len(paths):,} photos.")
    if sys.platform == "win32":
        for path in shown:
            os.startfile(os.fsdecode(path))
        return
    opener = shutil.which("open" if sys.platform == "darwin" else "xdg-open")
    if opener is None:
        raise ClipsearchError(
            "this system has no program to open photos with",
            "Install xdg-utils, or use --copy-to DIR and look there",
        )
    for path in shown:
        # Absolute paths cannot be taken for options; what the viewer prints is not ours.
        subprocess.run(
            [opener, os.path.abspath(path)],
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
