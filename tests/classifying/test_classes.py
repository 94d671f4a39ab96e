from pathlib import Path

import numpy as np
import pytest

from clipsearch.classifying import embed_labels
from clipsearch.encoders import Towers, load_towers
from clipsearch.encoders.fake import FAKE, FakeTextEncoder
from clipsearch.errors import UsageError
from clipsearch.labels import Label, labels_from_text
from clipsearch.prompts import neutral_prompts, own_templates, template_set


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
