"""What a photo shows: concepts with English names, the kinds each one belongs to, and how two
concepts relate. Labels of several data sets that mean the same thing are one concept here."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from clipsearch.errors import UsageError

SAME, BROADER, NARROWER, UNRELATED = 1, 2, 3, 0


@dataclass(frozen=True)
class Name:
    """One way to say a concept. `countable` names take an article ("a dog", but "milk")."""

    words: str
    countable: bool


@dataclass(frozen=True)
class Concept:
    """One meaning: its names (the first is the usual one), direct kinds, and photo labels.

    `photos` holds `set:label` strings, such as `tiny:n02099601` or `captioned:grass,grassy`.
    """

    concept_id: str
    names: tuple[Name, ...]
    kinds: tuple[str, ...]
    photos: tuple[str, ...]


def read_concepts(path: str | Path) -> list[Concept]:
    """Read a tab-separated table with the columns concept, names, kinds, photos.

    Lists inside a column are separated by semicolons; `~` before a name says that it takes no
    article. Raises UsageError when a kind is not itself a concept or a label occurs twice.
    """
    with open(path, encoding="utf-8", newline="") as table:
        rows = list(csv.DictReader(table, delimiter="\t", quoting=csv.QUOTE_NONE))
    concepts = [
        Concept(
            row["concept"],
            tuple(Name(n.removeprefix("~"), not n.startswith("~")) for n in _parts(row["names"])),
            _parts(row["kinds"]),
            _parts(row["photos"]),
        )
        for row in rows
    ]
    _check(concepts, path)
    return concepts


def _parts(cell: str) -> tuple[str, ...]:
    return tuple(part for part in cell.split(";") if part)


def _check(concepts: Sequence[Concept], path: str | Path) -> None:
    known = {concept.concept_id for concept in concepts}
    if len(known) != len(concepts):
        raise UsageError(f"{path}: a concept occurs twice")
    for concept in concepts:
        if not concept.names:
            raise UsageError(f"{path}: {concept.concept_id} has no name")
        for kind in concept.kinds:
            if kind not in known:
                raise UsageError(f"{path}: {concept.concept_id} is a kind of unknown {kind!r}")
    labels = [label for concept in concepts for label in concept.photos]
    if len(set(labels)) != len(labels):
        raise UsageError(f"{path}: a photo label belongs to two concepts")


def concept_of_label(concepts: Sequence[Concept]) -> dict[str, int]:
    """Map each `set:label` to the position of its concept."""
    return {label: i for i, concept in enumerate(concepts) for label in concept.photos}


def ancestors(concepts: Sequence[Concept]) -> list[frozenset[int]]:
    """For each concept, the positions of all kinds it belongs to, at any distance, without itself.

    Raises UsageError when a concept is, by a detour, a kind of itself.
    """
    position = {concept.concept_id: i for i, concept in enumerate(concepts)}
    found: list[frozenset[int]] = []
    for i, concept in enumerate(concepts):
        above: set[int] = set()
        waiting = list(concept.kinds)
        while waiting:
            kind = position[waiting.pop()]
            if kind not in above:
                above.add(kind)
                waiting.extend(concepts[kind].kinds)
        if i in above:
            raise UsageError(f"{concept.concept_id} is a kind of itself")
        found.append(frozenset(above))
    return found


def relations(concepts: Sequence[Concept]) -> NDArray[np.int8]:
    """Matrix [n, n]: how column concept j relates to row concept i.

    SAME on the diagonal; BROADER where j is a kind that i belongs to (a dog, for a poodle);
    NARROWER where j belongs to i (a photo labelled "dog" may or may not show a poodle);
    UNRELATED elsewhere.
    """
    count = len(concepts)
    table = np.full((count, count), UNRELATED, dtype=np.int8)
    for i, above in enumerate(ancestors(concepts)):
        table[i, i] = SAME
        for kind in above:
            table[i, kind] = BROADER
            table[kind, i] = NARROWER
    return table
