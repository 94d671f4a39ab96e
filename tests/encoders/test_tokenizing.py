"""Copied tokenizers and cleaning against open_clip's own, on hundreds of texts."""

import random

import pytest

from clipsearch.encoders.cleaning import CLEANERS
from clipsearch.encoders.token_rows import TokenRows
from clipsearch.encoders.tokenizing import copy_tokenizer

pytestmark = pytest.mark.real

WORDS = [
    *("dog", "Dogs'", "it's", "we'll", "they've", "I'D", "O'Neill", "rock'n'roll", "café", "naïve"),
    *("“quoted”", "ﬁne", "½", "№5", "x²", "İstanbul", "straße", "ΣΑΣ", "Ωmega", "привет", "שלום"),
    *(
        "مرحبا",
        "नमस्ते",
        "สวัสดี",
        "海滩",
        "上的",
        "一只狗",
        "犬",
        "개",
        "𠀀",
        "🐶",
        "👩‍👩‍👧‍👦",
        "🏳️‍🌈",
        "☀️",
    ),
    *(
        "3,141.59",
        "2023-06-01",
        "50%",
        "C++",
        "#tag",
        "@name",
        "a_b",
        "path/to/file.jpg",
        "...",
        "--",
    ),
    *("&amp;", "&lt;b&gt;", "&eacute;", "&amp;amp;", "<b>", "http://example.org/?q=1&r=2", "\\n"),
    *("\t", "\n", "\r\n", "\u00a0", "\u3000", "\u200b", "\u2028", "\x00", "\x1b[31m", "\ufeff"),
    *("Ã©", "â€œ", "supercalifragilisticexpialidocious", "a" * 90, "...!?;:", "<start_of_text>"),
]


def texts() -> list[str]:
    """Every word alone, and 400 mixtures of them of up to 120 words, always the same."""
    rng = random.Random(7)
    mixed = [" ".join(rng.choices(WORDS, k=rng.choice([2, 3, 5, 8, 120]))) for _ in range(400)]
    return ["", " ", "  \n ", *WORDS, *mixed]


def test_clip_ids_are_open_clip_s(tmp_path):
    from open_clip.tokenizer import SimpleTokenizer

    original = SimpleTokenizer(context_length=77)
    facts = copy_tokenizer(original, 77, tmp_path / "tokenizer.json")
    copied = TokenRows(tmp_path / "tokenizer.json", facts)
    wanted = original(texts()).tolist()
    for text, one, other in zip(texts(), copied.full_rows(texts()).tolist(), wanted, strict=True):
        assert one == other, text
    # Cut rows keep the end token, which is where CLIP reads the vector.
    assert any(row[-1] == original.eot_token_id for row in wanted)


@pytest.mark.parametrize("kind", ["lower", "whitespace", "canonicalize"])
def test_cleaning_is_open_clip_s(kind):
    from open_clip.tokenizer import get_clean_fn

    original = get_clean_fn(kind)
    for text in texts():
        assert CLEANERS[kind](text) == original(text), text


def test_lone_surrogates_and_long_texts_have_ids(tmp_path):
    from open_clip.tokenizer import SimpleTokenizer

    facts = copy_tokenizer(SimpleTokenizer(context_length=77), 77, tmp_path / "tokenizer.json")
    copied = TokenRows(tmp_path / "tokenizer.json", facts)
    assert copied.rows(["dog \udcff"]) == copied.rows(["dog ?"])
    (long,) = copied.rows(["dog " * 250_000])
    assert len(long) == 77
    assert copied.truncated(["dog " * 250_000, "dog"]) == [True, False]


def test_identity_tells_tokenizers_apart(tmp_path):
    from open_clip.tokenizer import SimpleTokenizer

    path = tmp_path / "tokenizer.json"
    one = copy_tokenizer(SimpleTokenizer(context_length=77), 77, path)
    same = copy_tokenizer(SimpleTokenizer(context_length=77), 77, path)
    shorter = copy_tokenizer(SimpleTokenizer(context_length=76), 76, path)
    cased = copy_tokenizer(SimpleTokenizer(context_length=77, clean="whitespace"), 77, path)
    assert one == same
    assert len({one.identity, shorter.identity, cased.identity}) == 3
