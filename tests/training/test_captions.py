"""Captions: articles, plurals, and nothing drawn that is not listed."""

import numpy as np
import pytest

from clipsearch.prompts import neutral_prompts, template_set
from clipsearch.training.captions import (
    ANYTHING,
    LABEL_TEMPLATES,
    all_captions,
    all_names,
    draw_caption,
    plural,
    with_article,
    words_of,
    zero_shot_prompts,
)
from clipsearch.training.concepts import Concept, Name

OWL = Concept("owl", (Name("owl", True), Name("night bird", True)), (), ())
MILK = Concept("milk", (Name("milk", False),), (), ())


def test_articles() -> None:
    assert with_article(OWL.names[0]) == "an owl"
    assert with_article(OWL.names[1]) == "a night bird"
    assert with_article(MILK.names[0]) == "milk"


@pytest.mark.parametrize(
    ("one", "many"),
    [
        ("dog", "dogs"),
        ("bus", "buses"),
        ("berry", "berries"),
        ("toy", "toys"),
        ("dish", "dishes"),
        ("old man", "old men"),
        ("group of people", "groups of people"),
        ("woman", "women"),
        ("manatee", "manatees"),
    ],
)
def test_plurals(one: str, many: str) -> None:
    assert plural(one) == many


def test_every_drawn_caption_is_listed() -> None:
    listed = set(all_captions([OWL, MILK]))
    rng = np.random.default_rng(0)
    drawn = {draw_caption(concept, rng) for concept in (OWL, MILK) for _ in range(400)}
    assert drawn <= listed
    assert {"owl", "owls", "night bird", "milk", "an owl.", "a photo of a owl."} <= drawn


def test_classify_asks_with_wordings_that_were_trained() -> None:
    assert template_set().templates == LABEL_TEMPLATES


def test_what_says_nothing_was_trained_in_the_wordings_that_decide_none_of_these() -> None:
    assert set(neutral_prompts()) <= set(all_captions([ANYTHING]))


def test_names_stand_alone_and_in_the_plural() -> None:
    assert all_names([MILK, OWL]) == ["milk", "night bird", "night birds", "owl", "owls"]


def test_the_same_generator_draws_the_same_caption() -> None:
    first = [draw_caption(OWL, np.random.default_rng(7)) for _ in range(3)]
    assert len(set(first)) == 1


def test_prompts_hold_the_name_in_each_template() -> None:
    prompts = zero_shot_prompts(MILK)
    assert prompts == [
        "milk", "a photo of milk", "a picture of milk", "an image of milk"
    ]  # fmt: skip


def test_words_are_sorted_distinct_and_lower_case() -> None:
    assert words_of(["a T-shirt", "a spider's web", "A dog"]) == [
        "a", "dog", "spider's", "t-shirt", "web"
    ]  # fmt: skip
