from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from clipsearch.encoders.fake import FakeImageEncoder
from clipsearch.evaluating import (
    Embedded,
    EvaluationData,
    compare,
    embed,
    evaluation,
    rank,
    read_evaluation_data,
    verdicts,
)
from clipsearch.pairs.learned import PartOf, as_lines
from clipsearch.prompts import own_templates
from tests.evaluating.colours import BLIND, SEEING, NoRed, write_captions, write_standard_set

PLAIN = own_templates(["{}"])


def by_both(data: EvaluationData) -> tuple[Embedded, Embedded]:
    return (
        embed(data, BLIND, lambda _: NoRed(), PLAIN),
        embed(data, SEEING, lambda _: FakeImageEncoder(), PLAIN),
    )


@pytest.fixture
def captioned(tmp_path: Path) -> EvaluationData:
    rows = [(f"{name}.png", name) for name in ("red", "green", "blue", "yellow", "black", "white")]
    return read_evaluation_data(write_captions(tmp_path, rows))


def test_figures_of_a_model_that_sees_and_of_one_that_does_not(captioned: EvaluationData) -> None:
    blind, seeing = by_both(captioned)
    found = evaluation(captioned, seeing, rank(captioned, seeing))
    assert (found.model, found.photos, found.captions, found.labels) == ("fake", 6, 6, 0)
    assert found.retrieval is not None
    assert found.retrieval.to_photo.recall_at[1].value == 1
    assert found.zero_shot is None
    found = evaluation(captioned, blind, rank(captioned, blind))
    assert found.retrieval is not None
    # Without red, red looks black and yellow green: two ties, which count as wrong for both.
    assert found.retrieval.to_photo.recall_at[1].value == pytest.approx(2 / 6)
    # For a photo: red's best caption is "black", yellow's is "green", white's "blue" and "green"...
    assert found.retrieval.to_text.recall_at[1].value < 1


def test_a_verdict_on_photos_that_were_learned_from_says_so(
    captioned: EvaluationData, tmp_path: Path
) -> None:
    blind, seeing = by_both(captioned)
    parts = [PartOf("learned", content, "a photo") for content in seeing.contents[:2]]
    (tmp_path / "photos.tsv").write_text("".join(as_lines(parts)))
    taught = replace(seeing, model=replace(seeing.model, name=str(tmp_path)))
    first, second = (rank(captioned, each) for each in (blind, taught))
    figures = evaluation(captioned, blind, first), evaluation(captioned, taught, second)
    assert [each.learned_from for each in figures] == [0, 2]
    (sentence,) = verdicts(*figures, compare(first, second))
    assert sentence.endswith("; which proves nothing: 2 of the photos were learned from")


def test_comparison_is_second_minus_first(captioned: EvaluationData) -> None:
    blind, seeing = by_both(captioned)
    found = compare(rank(captioned, blind), rank(captioned, seeing))
    first = next(each for each in found.figures if each.figure == "to_photo.recall_at.1")
    assert [first.first, first.second] == pytest.approx([2 / 6, 1])
    assert first.difference.difference == pytest.approx(4 / 6)
    assert found.recall is not None
    assert found.recall.difference.groups == 6
    assert found.accuracy is None
    back = compare(rank(captioned, seeing), rank(captioned, blind))
    assert back.recall is not None
    assert back.recall.difference.difference == -found.recall.difference.difference


def test_a_photo_that_is_left_out_takes_its_captions_along(captioned: EvaluationData) -> None:
    _, seeing = by_both(captioned)
    fewer = seeing.only(np.array([0, 2, 5, 99]))
    assert fewer.numbers.tolist() == [0, 2, 5]
    found = evaluation(captioned, fewer, rank(captioned, fewer))
    assert (found.photos, found.captions) == (3, 3)
    assert found.retrieval is not None
    assert found.retrieval.to_photo.recall_at[1].value == 1


def test_zero_shot_typed_by_hand(tmp_path: Path) -> None:
    data = read_evaluation_data(str(write_standard_set(tmp_path / "set")))
    blind, seeing = by_both(data)
    found = evaluation(data, seeing, rank(data, seeing))
    assert found.retrieval is None
    assert found.captions == 0
    assert found.zero_shot is not None
    # The yellow photo is said to be blue, and is nearest to red and green.
    assert found.zero_shot.top_1.value == 3 / 4
    assert found.zero_shot.report.mean_per_class == pytest.approx((1 + 1 + 1 / 2) / 3)
    # It is sure of three right answers; yellow is half red, half green, and wrong.
    assert found.zero_shot.calibration_error == pytest.approx(0.5 / 4, abs=1e-3)
    (confusion,) = found.zero_shot.report.confusions
    assert (confusion.truth, confusion.count) == ("blue", 1)
    compared = compare(rank(data, blind), rank(data, seeing)).accuracy
    assert compared is not None
    # Red without red is black: as far from each colour.
    assert (compared.first, compared.second) == (2 / 4, 3 / 4)


def test_captions_and_labels_in_one_table(tmp_path: Path) -> None:
    write_captions(tmp_path, [("red.png", ""), ("green.png", ""), ("blue.png", "")])
    (tmp_path / "both.csv").write_text(
        "image,caption,label\nred.png,red,red\ngreen.png,a green one,green\nblue.png,blue,\n"
    )
    data = read_evaluation_data(str(tmp_path / "both.csv"))
    _, seeing = by_both(data)
    found = evaluation(data, seeing, rank(data, seeing))
    assert found.retrieval is not None
    assert found.zero_shot is not None
    assert found.captions == 3
    # A photo without a label is not asked for one.
    assert found.zero_shot.report.photos == 2
    assert found.zero_shot.top_1.value == 1
