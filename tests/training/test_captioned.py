"""What captions say of photos, and that the held-out ones stay apart."""

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from clipsearch.training.captions import all_names
from clipsearch.training.concepts import Concept, Name, read_concepts
from tests.training.recipe import RECIPES, load_recipe

TABLE = RECIPES.parent / "data" / "labels" / "concepts.tsv"


@pytest.fixture(scope="module")
def captioned() -> ModuleType:
    return load_recipe("captioned")


def folder_of(tmp_path: Path, captions: dict[str, list[str]]) -> Path:
    (tmp_path / "captioned" / "photos").mkdir(parents=True)
    rows = [f"{photo},{caption}" for photo, said in captions.items() for caption in said]
    table = tmp_path / "captioned" / "captions.csv"
    table.write_text("\n".join(["image,caption", *rows]) + "\n")
    return tmp_path


def held_out_names(captioned: ModuleType) -> list[str]:
    names: list[str] = captioned.HELD_OUT.read_text().split()
    return names


def test_photos_held_out_are_kept_apart(captioned: ModuleType, tmp_path: Path) -> None:
    held_out = held_out_names(captioned)
    assert len(set(held_out)) == 140
    said = {name: ["Something ."] for name in ["b.jpg", *held_out, "a.jpg"]}
    to_learn, others = captioned.read_captioned(folder_of(tmp_path, said))
    assert [path.name for path in to_learn.paths] == ["a.jpg", "b.jpg"]
    assert sorted(path.name for path in others.paths) == sorted(held_out)


def test_a_folder_without_the_photos_held_out_is_not_learned_from(
    captioned: ModuleType, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="names photos that are not there"):
        captioned.read_captioned(folder_of(tmp_path, {"a.jpg": ["A dog ."]}))


def test_two_captions_must_say_it_in_a_word_of_its_own(captioned: ModuleType) -> None:
    photos = captioned.Captioned(
        tuple(map(Path, "abcd")),
        (
            ("a man runs", "two men", "a dog"),
            ("a man runs", "a woman", "a postman"),
            ("a woman", "mankind", "a woman"),
            ("the man and the man", "nobody", "nobody"),
        ),
    )
    assert photos.said(["man", "men"]).tolist() == [1, -1, 0, -1]


def test_the_middle_square_of_a_photo_is_looked_at(captioned: ModuleType, tmp_path: Path) -> None:
    wide = np.zeros((20, 60, 3), dtype=np.uint8)
    wide[:, 20:40] = 255
    Image.fromarray(wide).save(tmp_path / "wide.png")
    photos = captioned.Captioned((tmp_path / "wide.png",), (("something",),))
    pixels = photos.pixels(10)
    assert pixels.shape == (1, 10, 10, 3)
    assert pixels.min() > 200  # the edge holds a little of what is beside it


def test_words_of_captions_are_those_of_the_table(captioned: ModuleType) -> None:
    name = (Name("dog", True),)
    assert captioned.caption_words(Concept("dog", name, (), ("tiny:n1",))) == ()
    said = Concept("dog", name, (), ("captioned:dog,dogs",))
    assert captioned.caption_words(said) == ("dog", "dogs")
    # Two places for one text would be too many.
    both = Concept("dog", name, (), ("tiny:n1", "captioned:dog,dogs"))
    assert captioned.caption_words(both) == ()


def test_concepts_of_captions_share_no_name_with_others(captioned: ModuleType) -> None:
    of_captions, others = [], []
    for concept in read_concepts(TABLE):
        (of_captions if captioned.caption_words(concept) else others).append(concept)
    assert [c.concept_id for c in of_captions] == [
        "child", "field", "girl", "grass", "jumping", "man", "people", "riding", "rock",
        "running", "sitting", "swimming", "woman"
    ]  # fmt: skip
    assert not set(all_names(of_captions)) & set(all_names(others))
