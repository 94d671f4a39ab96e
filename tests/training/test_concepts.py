"""The concept table: merging labels by meaning, kinds at any distance, relations."""

from pathlib import Path

import numpy as np
import pytest

from clipsearch.errors import UsageError
from clipsearch.training.concepts import (
    BROADER,
    NARROWER,
    SAME,
    UNRELATED,
    Concept,
    Name,
    ancestors,
    concept_of_label,
    read_concepts,
    relations,
)

TABLE = Path(__file__).parents[2] / "data" / "labels" / "concepts.tsv"
HEADER = "concept\tnames\tkinds\tphotos\n"


def written(tmp_path: Path, rows: str) -> Path:
    path = tmp_path / "concepts.tsv"
    path.write_text(HEADER + rows, encoding="utf-8")
    return path


def small() -> list[Concept]:
    def concept(name: str, *kinds: str) -> Concept:
        return Concept(name, (Name(name, True),), kinds, ())

    return [concept("animal"), concept("dog", "animal"), concept("poodle", "dog"), concept("car")]


def test_names_kinds_and_photos_are_read(tmp_path: Path) -> None:
    path = written(tmp_path, "milk\t~milk;carton of milk\tdrink\ta:1;b:2\ndrink\tdrink\t\t\n")
    milk, drink = read_concepts(path)
    assert milk.names == (Name("milk", False), Name("carton of milk", True))
    assert milk.kinds == ("drink",)
    assert concept_of_label([milk, drink]) == {"a:1": 0, "b:2": 0}


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("dog\tdog\tanimal\t\n", "unknown 'animal'"),
        ("dog\tdog\t\ta:1\ncat\tcat\t\ta:1\n", "two concepts"),
        ("dog\tdog\t\t\ndog\thound\t\t\n", "occurs twice"),
        ("dog\t\t\t\n", "no name"),
    ],
)
def test_a_wrong_table_is_refused(tmp_path: Path, rows: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read_concepts(written(tmp_path, rows))


def test_kinds_reach_through_kinds() -> None:
    assert ancestors(small()) == [frozenset(), {0}, {0, 1}, frozenset()]


def test_a_circle_of_kinds_is_refused() -> None:
    circle = [
        Concept("a", (Name("a", True),), ("b",), ()),
        Concept("b", (Name("b", True),), ("a",), ()),
    ]
    with pytest.raises(UsageError, match="kind of itself"):
        ancestors(circle)


def test_relations_of_a_poodle() -> None:
    expected = np.array(
        [
            [SAME, NARROWER, NARROWER, UNRELATED],
            [BROADER, SAME, NARROWER, UNRELATED],
            [BROADER, BROADER, SAME, UNRELATED],
            [UNRELATED, UNRELATED, UNRELATED, SAME],
        ]
    )
    assert np.array_equal(relations(small()), expected)


def test_shipped_table_merges_the_sets_by_meaning() -> None:
    concepts = read_concepts(TABLE)
    of_label = concept_of_label(concepts)
    assert of_label["tiny:n02099601"] == of_label["mini:n02099601"]
    assert of_label["caltech:pizza"] == of_label["tiny:n07873807"]
    assert of_label["catdog:dog"] == of_label["pacs:dog"]
    assert of_label["grocery:Banana"] == of_label["tiny:n07753592"]


def test_shipped_table_knows_what_everyday_things_are() -> None:
    concepts = read_concepts(TABLE)
    position = {concept.concept_id: i for i, concept in enumerate(concepts)}
    above = ancestors(concepts)
    for thing, kind in [
        ("golden retriever", "dog"),
        ("golden retriever", "animal"),
        ("granny smith", "fruit"),
        ("carrot", "food"),
        ("airplane", "vehicle"),
        ("sandal", "clothes"),
    ]:
        assert position[kind] in above[position[thing]], (thing, kind)
