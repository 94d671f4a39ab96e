import pytest

from clipsearch.errors import UsageError
from clipsearch.prompts import (
    DEFAULT_SET,
    TemplateSet,
    neutral_prompts,
    own_templates,
    template_set,
    template_set_names,
)


def test_the_sets_that_ship() -> None:
    assert template_set_names() == ["ensemble", "general", "plain", "words"]
    assert DEFAULT_SET in template_set_names()
    sizes = {name: len(template_set(name).templates) for name in template_set_names()}
    assert sizes["plain"] == sizes["words"] == 1
    assert sizes["general"] < 10 < 50 < sizes["ensemble"]


@pytest.mark.parametrize("name", template_set_names())
def test_templates_are_different_and_hold_their_place_once(name: str) -> None:
    templates = template_set(name).templates
    assert len(set(templates)) == len(templates)
    assert all(template.count("{}") == 1 for template in templates)


def test_prompts_put_the_words_in_place() -> None:
    templates = own_templates(["a photo of a {}.", "my {}"])
    assert templates.prompts("{red} dog") == ["a photo of a {red} dog.", "my {red} dog"]
    assert templates == TemplateSet("own", ("a photo of a {}.", "my {}"))


def test_neutral_prompts_have_no_place_for_a_label() -> None:
    assert neutral_prompts()
    assert not any("{" in prompt for prompt in neutral_prompts())


@pytest.mark.parametrize("name", ["nothing", "neutral", "../templates/plain", ""])
def test_an_unknown_set_names_the_known_ones(name: str) -> None:
    with pytest.raises(UsageError, match="ensemble, general, plain, words"):
        template_set(name)


@pytest.mark.parametrize("sentences", [[], ["a photo of a dog"], ["a {} and a {}"]])
def test_own_templates_need_one_place_each(sentences: list[str]) -> None:
    with pytest.raises(UsageError, match="template"):
        own_templates(sentences)
