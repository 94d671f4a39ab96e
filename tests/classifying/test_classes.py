from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from clipsearch.classifying import classes_of, embed_labels
from clipsearch.encoders import Towers, load_towers
from clipsearch.encoders.fake import FAKE, FakeTextEncoder
from clipsearch.errors import UsageError
from clipsearch.labels import Label, labels_from_text
from clipsearch.library import Library
from clipsearch.prompts import neutral_prompts, own_templates, template_set
from clipsearch.storage.label_vectors import LabelVectors
from clipsearch.types import Floats, ImageEncoder


@pytest.fixture
def towers(tmp_path: Path) -> Towers:
    return load_towers(FAKE, tmp_path)


def test_embeddings_are_averaged_over_templates_and_normalised(towers: Towers) -> None:
    # The fake model reads "red" as (1,0,0,0) and "blue and red" as (.5,0,.5,.5), as unit vectors.
    templates = own_templates(["{}", "blue and {}"])
    classes = embed_labels(towers, labels_from_text("red,blue"), templates)
    half = np.array([0.5, 0, 0.5, 0.5]) / np.sqrt(0.75)
    red = np.array([1, 0, 0, 0]) + half
    np.testing.assert_allclose(classes.embeddings[0], red / np.linalg.norm(red), atol=1e-6)
    blue = np.array([0, 0, 2, 0])
    np.testing.assert_allclose(classes.embeddings[1], blue / 2, atol=1e-6)


def test_the_words_are_read_and_the_name_is_kept(towers: Towers) -> None:
    classes = embed_labels(towers, [Label("fire_engine", "red")], template_set("words"))
    np.testing.assert_allclose(classes.embeddings, [[1, 0, 0, 0]], atol=1e-6)
    assert classes.labels[0].name == "fire_engine"


def test_neutral_is_the_mean_of_the_neutral_prompts(towers: Towers) -> None:
    classes = embed_labels(towers, labels_from_text("red"), template_set())
    mean = FakeTextEncoder().encode_text(neutral_prompts()).mean(axis=0)
    np.testing.assert_allclose(classes.neutral, mean / np.linalg.norm(mean), atol=1e-6)


def test_blocks_of_prompts_keep_labels_in_order(towers: Towers) -> None:
    names = ["red", "green", "blue", "black", "white"] * 120
    labels = [Label(f"{name} {i}", name) for i, name in enumerate(names)]
    steps: list[tuple[str, int, int | None]] = []
    classes = embed_labels(towers, labels, template_set("words"), lambda *step: steps.append(step))
    np.testing.assert_allclose(classes.embeddings, FakeTextEncoder().encode_text(names), atol=1e-6)
    assert steps == [("labels", 256, 600), ("labels", 512, 600), ("labels", 600, 600)]


def test_warnings_name_labels_that_are_unknown_or_cut(towers: Towers) -> None:
    labels = [Label("red", "red"), Label("zebra", "zebra"), Label("long", "red " * 20)]
    cut, unknown = embed_labels(towers, labels, template_set("words")).warnings
    assert cut.endswith(": long")
    assert unknown.endswith(": zebra")
    many = [Label(f"word{i}", f"word{i}") for i in range(12)]
    (unknown,) = embed_labels(towers, many, template_set("words")).warnings
    assert unknown.endswith("word9 and 2 more")


def test_no_labels(towers: Towers) -> None:
    with pytest.raises(UsageError, match="no labels"):
        embed_labels(towers, [], template_set())


class CountingTexts(FakeTextEncoder):
    def __init__(self) -> None:
        self.read = 0

    def encode_text(self, texts: Sequence[str]) -> Floats:
        self.read += len(texts)
        return super().encode_text(texts)


def no_photos() -> ImageEncoder:
    raise AssertionError("labels need no image tower")


def test_kept_labels_are_the_fresh_ones_and_are_not_read_again(tmp_path: Path) -> None:
    text = CountingTexts()
    towers = Towers(FAKE, lambda: text, no_photos)
    labels, templates, kept = labels_from_text("red,blue"), template_set(), LabelVectors(tmp_path)
    fresh = embed_labels(towers, labels, templates)
    embed_labels(towers, labels, templates, kept=kept)
    read = text.read
    told: list[tuple[str, int, int | None]] = []
    again = embed_labels(towers, labels, templates, lambda *args: told.append(args), kept=kept)
    assert text.read == read
    assert np.array_equal(again.embeddings, fresh.embeddings)
    assert np.array_equal(again.neutral, fresh.neutral)
    assert (again.labels, again.warnings) == (fresh.labels, fresh.warnings)
    assert told == [("labels", 2, 2)]
    # Another model, other words, another order or other templates are read.
    other = Towers(replace(FAKE, fingerprint="f" * 64), lambda: text, no_photos)
    for changed in (
        (other, labels, templates),
        (towers, labels_from_text("red,green"), templates),
        (towers, labels[::-1], templates),
        (towers, labels, template_set("words")),
    ):
        read = text.read
        embed_labels(*changed, kept=kept)
        assert text.read > read


def test_a_library_keeps_the_labels_it_was_asked_for(tmp_path: Path) -> None:
    text = CountingTexts()
    towers = Towers(FAKE, lambda: text, no_photos)
    with Library.open(tmp_path / "library", create=True) as library:
        first = classes_of(library, towers, labels_from_text("red,blue"), template_set())
        read = text.read
        again = classes_of(library, towers, labels_from_text("red,blue"), template_set())
    assert text.read == read
    assert np.array_equal(again.embeddings, first.embeddings)
