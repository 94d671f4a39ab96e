"""The exported towers: onnxruntime and tokenizers, never torch."""

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from clipsearch.encoders.checks import check_pixels
from clipsearch.encoders.sessions import IMAGE_GRAPH, TEXT_GRAPH, open_session, run
from clipsearch.encoders.store import TOKENIZER_JSON, VOCABULARY, StoredModel, check_contents
from clipsearch.encoders.token_rows import TokenRows
from clipsearch.encoders.tokenizing import TokenizerFacts
from clipsearch.encoders.vocabulary import read_vocabulary, words_not_in
from clipsearch.types import Floats, Ids, ImageEncoder, ModelInfo, Pixels, TextEncoder

_IMAGE_BATCH = 16
_TEXT_BATCH = 64
# A command asks a few times at most and would wait for what it does not need.
CALLS_BEFORE_REPACKING = 6


def open_image_encoder(info: ModelInfo, folder: Path, stored: StoredModel) -> ImageEncoder:
    """The image tower of an installed model, for a photo or a few.

    Raises:
        DamageError: its files are damaged.
    """
    check_contents(folder, stored, [IMAGE_GRAPH])
    return ExportedImageEncoder(info, folder / IMAGE_GRAPH, bulk=False)


def open_text_encoder(info: ModelInfo, folder: Path, stored: StoredModel) -> TextEncoder:
    """The text tower of an installed model.

    Raises:
        DamageError: its files are damaged.
    """
    check_contents(folder, stored, [TEXT_GRAPH, TOKENIZER_JSON])
    return ExportedTextEncoder(
        info,
        folder / TEXT_GRAPH,
        folder / TOKENIZER_JSON,
        stored.tokenizer,
        folder / VOCABULARY,
        any_length=stored.any_length,
    )


class ExportedImageEncoder:
    """The exported image tower. `bulk` spends start-up time on making every batch faster."""

    def __init__(self, info: ModelInfo, graph: Path, *, bulk: bool) -> None:
        self.info = info
        self._session = open_session(graph, bulk=bulk)

    def encode_image(self, pixels: Pixels) -> Floats:
        """(batch, height, width, 3) uint8 -> (batch, dim) unit rows."""
        check_pixels(pixels, self.info)
        starts = range(0, len(pixels), _IMAGE_BATCH)
        parts = [run(self._session, pixels[i : i + _IMAGE_BATCH]) for i in starts]
        return np.concatenate([np.empty((0, self.info.embed_dim), np.float32), *parts])


class ExportedTextEncoder:
    """The exported text tower and its tokenizer.

    `any_length`: rows may be shorter than the context, which makes short texts many times cheaper.
    """

    def __init__(
        self,
        info: ModelInfo,
        graph: Path,
        tokenizer: Path,
        facts: TokenizerFacts,
        vocabulary: Path,
        *,
        any_length: bool,
    ) -> None:
        self.info = info
        self._context = facts.context_length
        self._any_length = any_length
        self._vocabulary_path = vocabulary
        # Both take some 80 ms and neither needs the other.
        with ThreadPoolExecutor(1) as pool:
            session = pool.submit(open_session, graph, bulk=False)
            self._tokens = TokenRows(tokenizer, facts)
            self._session: Any = session.result()
        self._graph = graph
        self._calls = 0
        self._faster: Future[Any] | None = None

    def encode_text(self, texts: Sequence[str]) -> Floats:
        """Texts -> (len(texts), dim) unit rows."""
        rows = self._tokens.rows(texts)
        vectors = np.empty((len(rows), self.info.embed_dim), np.float32)
        self._warm_up()
        # Texts of similar length go together, so that none is padded to the longest of all.
        order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
        for start in range(0, len(order), _TEXT_BATCH):
            batch = order[start : start + _TEXT_BATCH]
            vectors[batch] = run(self._session, self._padded([rows[i] for i in batch]))
        return vectors

    def truncated(self, texts: Sequence[str]) -> list[bool]:
        """For each text, whether it is longer than the context and was cut."""
        return self._tokens.truncated(texts)

    def unknown_words(self, text: str) -> list[str]:
        """Words of `text` that the model's training never contained; [] when that is not known."""
        return words_not_in(self._vocabulary, text)

    def _warm_up(self) -> None:
        """In a process that goes on asking, repack the weights beside it: three times as fast."""
        self._calls += 1
        if self._calls == CALLS_BEFORE_REPACKING:
            pool = ThreadPoolExecutor(1)
            self._faster = pool.submit(open_session, self._graph, bulk=True)
            pool.shutdown(wait=False)
        elif self._faster is not None and self._faster.done():
            faster, self._faster = self._faster, None
            if faster.exception() is None:  # otherwise the one that works stays
                self._session = faster.result()

    @cached_property
    def _vocabulary(self) -> frozenset[str]:
        return read_vocabulary(self._vocabulary_path)

    def _padded(self, rows: list[list[int]]) -> Ids:
        longest = max(len(row) for row in rows)
        return self._tokens.pad(rows, longest if self._any_length else self._context)
