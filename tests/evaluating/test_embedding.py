import os
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from clipsearch.encoders import Towers
from clipsearch.encoders.fake import FAKE, FakeImageEncoder, FakeTextEncoder
from clipsearch.errors import UsageError
from clipsearch.evaluating import Embedded, EvaluationData, embed, read_evaluation_data
from clipsearch.prompts import own_templates
from clipsearch.types import Floats, ImageEncoder, Pixels
from tests.evaluating.colours import (
    COLOURS,
    SEEING,
    png,
    write_captions,
    write_photo,
    write_standard_set,
    write_tar,
)

PLAIN = own_templates(["a photo of {}"])
RED, GREEN, BLUE = ([float(i == place) for i in range(4)] for place in range(3))


def fake(_expected: int) -> ImageEncoder:
    return FakeImageEncoder()


def embedded(
    data: EvaluationData, load: Callable[[int], ImageEncoder] = fake, towers: Towers = SEEING
) -> Embedded:
    return embed(data, towers, load, PLAIN)


def test_photos_captions_and_labels_become_vectors(tmp_path: Path) -> None:
    table = write_captions(tmp_path, [("green.png", "a green one"), ("blue.png", "blue")])
    data = read_evaluation_data(table)
    expected: list[int] = []
    found = embedded(data, lambda n: expected.append(n) or FakeImageEncoder())  # type: ignore[func-returns-value]
    assert expected == [2]
    order = ["green" in caption for caption in data.captions]
    np.testing.assert_allclose(
        found.captions, [GREEN if is_green else BLUE for is_green in order], atol=1e-6
    )
    np.testing.assert_allclose(found.photos[data.owner], found.captions, atol=1e-6)
    assert found.classes.shape == (0, 4)
    assert found.left_out == ()


def test_templates_are_averaged_for_each_class(tmp_path: Path) -> None:
    data = read_evaluation_data(str(write_standard_set(tmp_path / "set")))
    found = embed(data, SEEING, fake, own_templates(["a photo of {}", "{} and blue"]))
    # "red and blue" is half of each and half dark, all by the same length.
    mean = (np.array(RED) + np.array([1, 0, 1, 1]) / 3**0.5) / 2
    np.testing.assert_allclose(found.classes[0], mean / np.linalg.norm(mean), atol=1e-6)
    np.testing.assert_allclose(found.classes[2], BLUE, atol=1e-6)


def test_photos_in_archives_are_read_and_nothing_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    between = tmp_path / "between"
    between.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(between))
    names = list(COLOURS)[:3] * 60  # more than are read ahead
    members = [(f"{i:03}.png", png(name)) for i, name in enumerate(names)]
    texts = [(f"{i:03}.txt", name.encode()) for i, name in enumerate(names)]
    write_tar(tmp_path / "pairs.tar", [*members, *texts])
    data = read_evaluation_data(str(tmp_path / "pairs.tar"))
    held, folders = [], []

    class Watching(FakeImageEncoder):
        def encode_image(self, pixels: Pixels) -> Floats:
            folders.append(os.listdir(between))
            held.append(sum(len(files) for _, _, files in os.walk(between)))
            return super().encode_image(pixels)

    found = embedded(data, lambda _: Watching())
    np.testing.assert_allclose(found.photos, found.captions, atol=1e-6)
    assert len(found.numbers) == 180
    assert any(folders)  # they are put here, and nowhere else
    assert max(held) <= 129
    assert os.listdir(between) == []


def test_bad_photos_are_named_and_left_out(tmp_path: Path) -> None:
    rows = [
        ("gone.png", "red"),
        ("red.png", "red"),
        ("bad.png", "green"),
        ("text.png", "blue"),
        ("blue.png", "blue"),
    ]
    table = write_captions(tmp_path, rows)
    (tmp_path / "bad.png").write_bytes(png("green")[:60])
    (tmp_path / "text.png").write_text("no photo")
    data = read_evaluation_data(table)
    found = embedded(data)
    names = [Path(photo.source.name).name for photo in data.photos]
    assert [names[number] for number in found.numbers.tolist()] == ["red.png", "blue.png"]
    np.testing.assert_allclose(found.photos, [RED, BLUE], atol=1e-6)
    assert {Path(each.name).name for each in found.left_out} == {"gone.png", "bad.png", "text.png"}
    assert all(each.reason for each in found.left_out)
    assert len(found.captions) == 5


def test_links_and_a_photo_that_is_there_twice(tmp_path: Path) -> None:
    photo = write_photo(tmp_path / "store" / "red.png", "red")
    for name in ("cat", "dog"):
        (tmp_path / "labels" / name).mkdir(parents=True)
        (tmp_path / "labels" / name / "1.png").symlink_to(photo)
    found = embedded(read_evaluation_data(str(tmp_path / "labels")))
    np.testing.assert_allclose(found.photos, [RED, RED], atol=1e-6)
    assert found.numbers.tolist() == [0, 1]


def test_a_vector_that_is_none_costs_its_photo(tmp_path: Path) -> None:
    class Broken(FakeImageEncoder):
        def encode_image(self, pixels: Pixels) -> Floats:
            rows = super().encode_image(pixels)
            rows[rows[:, 0] == 1] = np.nan
            return rows

    table = write_captions(tmp_path, [("red.png", "red"), ("blue.png", "blue")])
    data = read_evaluation_data(table)
    found = embedded(data, lambda _: Broken())
    assert len(found.numbers) == 1
    (left_out,) = found.left_out
    assert "red.png" in left_out.name
    assert "not finite" in left_out.reason


def test_without_one_photo_there_is_nothing_to_measure(tmp_path: Path) -> None:
    data = read_evaluation_data(write_captions(tmp_path, [("gone.png", "red")]))
    with pytest.raises(UsageError, match=r"not one photo.*gone\.png: there is no such file"):
        embedded(data)


def test_captions_that_the_model_cannot_read_are_counted(tmp_path: Path) -> None:
    rows = [("red.png", "red " * 17), ("red.png", "a zebra"), ("blue.png", "the blue photo")]
    found = embedded(read_evaluation_data(write_captions(tmp_path, rows)))
    assert (found.cut_captions, found.unknown_captions) == (1, 1)


def test_captions_of_photos_that_are_left_out_are_not_counted(tmp_path: Path) -> None:
    rows = [("gone.png", "red " * 17), ("gone.png", "a quagga"), ("blue.png", "a zebra")]
    found = embedded(read_evaluation_data(write_captions(tmp_path, rows)))
    counts = (found.measured_captions, found.cut_captions, found.unknown_captions)
    assert counts == (1, 0, 1)
    assert len(found.captions) == 3


def test_equal_captions_are_one_row(tmp_path: Path) -> None:
    class Restless(FakeTextEncoder):
        """Rows that differ in their last bits, as beside other texts they may."""

        info = replace(FAKE)
        calls = 0

        def encode_text(self, texts: object) -> Floats:
            Restless.calls += 1
            rows = super().encode_text(texts)  # type: ignore[arg-type]
            noise = np.arange(len(rows))[:, None] * np.float32(1e-7)
            return (rows + noise).astype(np.float32)

    table = write_captions(tmp_path, [("red.png", "same"), ("blue.png", "same")])
    towers = Towers(FAKE, Restless, FakeImageEncoder)
    found = embedded(read_evaluation_data(table), towers=towers)
    assert found.captions[0].tobytes() == found.captions[1].tobytes()
