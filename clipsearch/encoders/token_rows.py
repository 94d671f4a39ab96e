"""Texts -> rows of token ids, with the `tokenizers` library only."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from clipsearch.encoders.cleaning import CLEANERS
from clipsearch.encoders.tokenizing import TokenizerFacts
from clipsearch.errors import DamageError
from clipsearch.types import Ids


class TokenRows:
    """A tokenizer.json, used as open_clip uses the tokenizer it was copied from."""

    def __init__(self, path: Path, facts: TokenizerFacts) -> None:
        from tokenizers import Tokenizer

        try:
            self._tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # the library raises bare Exception for anything wrong
            raise DamageError(
                f"{path} is damaged: {error}", "Run `clipsearch models pull` again"
            ) from error
        self._facts = facts
        self._clean = CLEANERS[facts.clean]

    def rows(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of each text, cut to the context with the end token kept, not padded."""
        encoded = self._tokenizer.encode_batch_fast([self._clean(text) for text in texts])
        return [self._kept(encoding.ids) for encoding in encoded]

    def full_rows(self, texts: Sequence[str]) -> Ids:
        """(len(texts), context) ids, padded: what open_clip's tokenizer returns."""
        return self.pad(self.rows(texts), self._facts.context_length)

    def pad(self, rows: Sequence[Sequence[int]], length: int) -> Ids:
        """Rows of at most `length` ids -> (len(rows), length)."""
        padded = np.full((len(rows), length), self._facts.pad_id, np.int64)
        for filled, row in zip(padded, rows, strict=True):
            filled[: len(row)] = row
        return padded

    def truncated(self, texts: Sequence[str]) -> list[bool]:
        """For each text, whether ids had to be cut away."""
        encoded = self._tokenizer.encode_batch([self._clean(text) for text in texts])
        return [bool(encoding.overflowing) for encoding in encoded]

    def _kept(self, ids: list[int]) -> list[int]:
        dropped = self._facts.dropped_id
        return [0 if each == dropped else each for each in ids] if dropped is not None else ids
