"""Searches for "red" until a file appears, and writes down each answer with what it was asked of.

    python -m tests.fault.concurrency.meanwhile LIBRARY STOP open|again

`open` keeps one Library, `again` opens it for each query as a command does. An answer is a line of
JSON: when it was asked for and when it came, the model, and the photos with their scores.
"""

import json
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from clipsearch.encoders import Towers
from clipsearch.encoders.fake import FAKE, FakeImageEncoder, FakeTextEncoder
from clipsearch.library import Library
from clipsearch.query import parse_query
from clipsearch.searching import search
from clipsearch.storage import model_snapshot
from clipsearch.types import Floats, ModelInfo, Pixels

OTHER = replace(FAKE, name="other", fingerprint="0e" * 32)


class OtherImageEncoder:
    """Another model: each vector is the fake one's, turned."""

    info = OTHER

    def encode_image(self, pixels: Pixels) -> Floats:
        return np.roll(FakeImageEncoder().encode_image(pixels), 1, axis=1)


def image_encoder(info: ModelInfo) -> FakeImageEncoder | OtherImageEncoder:
    return FakeImageEncoder() if info == FAKE else OtherImageEncoder()


def ask(library: Library) -> tuple[str, list[tuple[str, float | None]]]:
    """The name of the model that answers, and what it finds."""
    with library.catalogue.reading():
        info = library.model
        assert info is not None
        towers = Towers(info, FakeTextEncoder, lambda: image_encoder(info))
        answer = search(library, towers, parse_query("red"), top_k=1000)
    return info.name, [(result.path.decode(), result.score) for result in answer.results]


def answer_until(stop: Path, directory: Path, *, kept_open: bool) -> None:
    library = Library.open(directory)
    while not stop.exists():
        if not kept_open:
            library.close()
            library = Library.open(directory)
        asked = time.monotonic()
        model, found = ask(library)
        print(json.dumps([asked, time.monotonic(), model, found]), flush=True)
    library.close()


if __name__ == "__main__":
    # So few photos would be searched without one.
    model_snapshot.WITHOUT_SNAPSHOT = 0
    answer_until(Path(sys.argv[2]), Path(sys.argv[1]), kept_open=sys.argv[3] == "open")
