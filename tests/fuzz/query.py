"""The query language and what cleans a text for its tokenizer: any text is read or refused."""

import unicodedata

from clipsearch.encoders.cleaning import CLEANERS
from clipsearch.errors import QueryError
from clipsearch.query import MAX_TERMS, MAX_WEIGHT, parse_query
from tests.fuzz.driving import main

SEEDS = [
    text.encode("utf-8", "surrogateescape")
    for text in (
        "", "a dog on the beach", "./rex.jpg", "~/a.png", "+sunset", '+"red car"', "-people",
        '-"many people"', "beach^2", '"red car"^0.5', "text:./x", "@rex", '+@"our kitchen"',
        "-@rex", "@rex^2", "in:2023 -in:Screenshots", "after:2022-06-01", "before:2024-2",
        "camera:X100V", 'in:"~/Pictures/2023" dog', "C:\\photos\\a.jpg", "\\\\server\\a.jpg",
        "https://example.org/a.jpg", "3:2", "folder:x", "photo: ", "dog^nan", "dog^1e3", '"open',
        "a\0b", "\udcff", "<|endoftext|>", "<start_of_text> dog",
        "👩‍👩‍👧‍👦🐶", "e\u0301", "\u202egpj",
        "&amp;lt;", "ﬁne ½ １２", "после:2020", "in:2023 in:2024 after:2020 before:2021", "^2", "+",
        "-", "@", '""', "--", "dog -cat +fox ./x.jpg^2 camera:a", "after:0000 dog", "\x1b[2J",
    )
]  # fmt: skip


def fuzz_one(data: bytes) -> None:
    """Raises when a query is answered with anything but a `Query` or a `QueryError`."""
    text = data.decode("utf-8", "surrogateescape")
    arguments = text.split("\n") if "\n" in text else text
    for is_file in (lambda _: False, lambda path: len(path) % 2 == 0):
        try:
            query = parse_query(arguments, is_file, lambda name: len(name) % 2 == 1)
        except QueryError as error:
            assert "\n" not in str(error.remedy)
            continue
        assert len(query.terms) <= MAX_TERMS
        for term in query.terms:
            assert 0 < abs(term.weight) <= MAX_WEIGHT
            assert term.value.strip()
            assert "\0" not in term.value
            if term.kind != "photo":
                assert term.value == unicodedata.normalize("NFC", term.value)
                term.value.encode("utf-8")
    for clean in CLEANERS.values():
        clean(text[:2000]).encode("utf-8")


if __name__ == "__main__":
    main(fuzz_one, SEEDS)
