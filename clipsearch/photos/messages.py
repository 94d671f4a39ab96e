"""The records of the photo room as the JSON headers that travel between reader and worker."""

from dataclasses import asdict
from datetime import datetime

import numpy as np

from clipsearch.photos.frames import BrokenFrameError, Header
from clipsearch.photos.limits import ReadLimits
from clipsearch.types import FileStat, PhotoFacts, Pixels, Preprocess


def setup_header(preprocess: Preprocess, limits: ReadLimits) -> Header:
    """What a worker is told once, before its first photo."""
    return {"preprocess": asdict(preprocess), "limits": asdict(limits)}


def parse_setup(header: Header) -> tuple[Preprocess, ReadLimits]:
    """The opposite of `setup_header`."""
    given = header["preprocess"]
    preprocess = Preprocess(
        size=(given["size"][0], given["size"][1]),
        mean=(given["mean"][0], given["mean"][1], given["mean"][2]),
        std=(given["std"][0], given["std"][1], given["std"][2]),
        interpolation=given["interpolation"],
        resize_mode=given["resize_mode"],
        fill_color=given["fill_color"],
    )
    return preprocess, ReadLimits(**header["limits"])


def facts_header(facts: PhotoFacts) -> Header:
    """Facts as JSON; the moment as ISO 8601."""
    header = asdict(facts)
    header["taken_at"] = facts.taken_at.isoformat() if facts.taken_at else None
    return header


def parse_facts(header: Header) -> PhotoFacts:
    """The opposite of `facts_header`. Raises BrokenFrameError."""
    try:
        moment = header["taken_at"]
        return PhotoFacts(
            format=str(header["format"]),
            width=int(header["width"]),
            height=int(header["height"]),
            taken_at=datetime.fromisoformat(moment) if moment else None,
            camera=header["camera"],
            latitude=header["latitude"],
            longitude=header["longitude"],
        )
    except (KeyError, TypeError, ValueError) as error:
        raise BrokenFrameError("facts that cannot be read") from error


def parse_stat(header: Header) -> FileStat | None:
    """The stat in a worker's answer, None when the file could not even be opened."""
    stat = header.get("stat")
    try:
        return None if stat is None else FileStat(**stat)
    except TypeError as error:
        raise BrokenFrameError("a stat that cannot be read") from error


def parse_pixels(body: bytearray, preprocess: Preprocess) -> Pixels:
    """A body as (height, width, 3) uint8, writable. Raises BrokenFrameError."""
    height, width = preprocess.size
    if len(body) != height * width * 3:
        raise BrokenFrameError("pixels of another size")
    return np.frombuffer(body, dtype=np.uint8).reshape(height, width, 3)
