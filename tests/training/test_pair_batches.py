"""Batches of pairs: the same for the same step, whoever prepares them and from wherever."""

import io
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from clipsearch.errors import ClipsearchError, UsageError
from clipsearch.training.pair_batches import PairBatch, PairBatches, meaning_id
from clipsearch.training.views import Augmentation
from clipsearch.types import CaptionedPhoto, Preprocess

PREPROCESS = Preprocess((8, 8), (0.5, 0.4, 0.3), (0.5, 0.25, 1.0))
FIELDS = ("indices", "images", "tokens", "ids")
STILL = Augmentation(min_area=1.0, narrowest=1.0, flip=True, light=0.0)


@dataclass(frozen=True)
class Stored:
    name: str
    data: bytes

    def read(self) -> bytes:
        if not self.data:
            raise FileNotFoundError(2, "No such file or directory")
        return self.data


def decode(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data)).convert("RGB")


def png(number: int) -> bytes:
    pixels = np.random.default_rng(number).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def pairs(count: int, captions: int = 1) -> list[CaptionedPhoto]:
    return [
        CaptionedPhoto(
            Stored(f"{i}.png", png(i)), tuple(f"photo {i} said {k}" for k in range(captions))
        )
        for i in range(count)
    ]


class Spelling:
    """A tokenizer whose tokens can be read again; remembers nothing."""

    def __call__(self, texts: Sequence[str]) -> Tensor:
        rows = [[ord(letter) for letter in text.ljust(40)[:40]] for text in texts]
        return torch.tensor(rows, dtype=torch.int64)


def texts(batch: PairBatch) -> list[str]:
    return ["".join(chr(token) for token in row).strip() for row in batch.tokens.tolist()]


def batches(photos: Sequence[CaptionedPhoto], **changed: Any) -> PairBatches:
    given: dict[str, Any] = {"batch_size": 4, "seed": 3, "two_views": False, "workers": 0}
    return PairBatches(photos, PREPROCESS, Spelling(), decode, **(given | changed))


def assert_same(a: PairBatch, b: PairBatch) -> None:
    assert torch.equal(a.indices, b.indices)
    assert torch.equal(a.images, b.images)
    assert torch.equal(a.tokens, b.tokens)
    assert torch.equal(a.ids, b.ids)
    assert (a.views is None) == (b.views is None)
    if a.views is not None and b.views is not None:
        assert torch.equal(a.views, b.views)


@pytest.mark.parametrize("workers", [0, 1, 3])
@pytest.mark.parametrize("first", [0, 2, 5])
def test_prepared_ahead_is_what_is_made_on_the_spot(workers: int, first: int) -> None:
    photos = pairs(10, captions=2)
    ahead = batches(photos, workers=workers, two_views=True).iterate(first)
    fresh = batches(photos, two_views=True, keep_bytes=0)
    for step, batch in enumerate(islice(ahead, 7), first):
        assert_same(batch, fresh.make(step))


def test_steps_may_be_made_in_any_order() -> None:
    forward, backward = batches(pairs(10)), batches(pairs(10))
    expected = [forward.make(step) for step in range(7)]
    for step in reversed(range(7)):
        assert_same(backward.make(step), expected[step])


def test_seeds_decide_on_order_crops_and_captions() -> None:
    orders, crops, captions = set(), set(), set()
    for seed in range(4):
        made = batches(pairs(4, captions=9), seed=seed).make(0)
        place = made.indices.tolist().index(0)
        orders.add(tuple(made.indices.tolist()))
        crops.add(made.images[place].sum().item())
        captions.add(texts(made)[place])
    assert min(len(orders), len(crops), len(captions)) > 1


def test_the_second_view_has_draws_and_strength_of_its_own() -> None:
    crop = Augmentation(min_area=0.5)
    same = batches(pairs(4), two_views=True, augmentation=crop, view_augmentation=crop).make(0)
    assert same.views is not None
    assert not torch.equal(same.images, same.views)
    still = Augmentation(min_area=1.0, narrowest=1.0, flip=False, light=0.0)
    square = [half_and_half("x")]
    made = batches(square, two_views=True, augmentation=crop, view_augmentation=still)
    first, second = made.make(0), made.make(1)
    assert first.views is not None
    assert second.views is not None
    assert torch.equal(first.views, second.views)
    assert not torch.equal(first.images, second.images)


def test_shapes_and_types() -> None:
    batch = batches(pairs(4), two_views=True).make(0)
    assert batch.indices.shape == batch.ids.shape == (4,)
    assert batch.indices.dtype == batch.ids.dtype == batch.tokens.dtype == torch.int64
    assert batch.views is not None
    for images in (batch.images, batch.views):
        assert images.shape == (4, 3, 8, 8)
        assert images.dtype == torch.float32
        assert images.is_contiguous(memory_format=torch.channels_last)
    assert not torch.equal(batch.images, batch.views)
    assert batches(pairs(4)).make(0).views is None


def test_normalised_with_the_models_own_numbers() -> None:
    white = io.BytesIO()
    Image.new("RGB", (16, 16), (255, 255, 255)).save(white, "PNG")
    photo = CaptionedPhoto(Stored("white", white.getvalue()), ("white",))
    batch = batches([photo], augmentation=STILL).make(0)
    assert torch.allclose(batch.images[0, :, 4, 4], torch.tensor([1.0, 2.4, 0.7]))


@pytest.mark.parametrize(
    ("photos", "size", "sizes"),
    [(10, 4, [3, 3, 4]), (8, 4, [4, 4]), (3, 4, [3]), (9, 4, [3, 3, 3]), (5, 4, [2, 3])],
)
def test_an_epoch_shows_every_photo_once_in_batches_of_nearly_one_size(
    photos: int, size: int, sizes: list[int]
) -> None:
    made = batches(pairs(photos), batch_size=size)
    assert made.steps_per_epoch == len(sizes)
    for epoch in range(2):
        steps = range(epoch * len(sizes), (epoch + 1) * len(sizes))
        epoch_batches = [made.make(step).indices.tolist() for step in steps]
        assert [len(indices) for indices in epoch_batches] == sizes
        assert sorted(chain.from_iterable(epoch_batches)) == list(range(photos))


def test_every_epoch_has_an_order_of_its_own() -> None:
    made = batches(pairs(12), batch_size=12)
    assert made.make(0).indices.tolist() != made.make(1).indices.tolist()


def test_the_ranks_parts_are_the_batch_of_one_process() -> None:
    photos = pairs(12, captions=3)
    alone = batches(photos, batch_size=6)
    ranks = [batches(photos, batch_size=6, rank=rank, world=3) for rank in range(3)]
    assert [part.steps_per_epoch for part in ranks] == [alone.steps_per_epoch] * 3
    for step in range(5):
        parts = [part.make(step) for part in ranks]
        together = PairBatch(
            *(torch.cat([getattr(part, name) for part in parts]) for name in FIELDS), views=None
        )
        assert_same(alone.make(step), together)


def test_ranks_get_as_many_rows_and_leave_out_less_than_one_each() -> None:
    photos = pairs(11)
    ranks = [batches(photos, batch_size=6, rank=rank, world=3) for rank in range(3)]
    seen = []
    for step in range(ranks[0].steps_per_epoch):
        parts = [part.make(step).indices.tolist() for part in ranks]
        assert len({len(part) for part in parts}) == 1
        assert len(parts[0]) <= 2
        seen += chain.from_iterable(parts)
    assert len(seen) == len(set(seen)) == 9


def test_each_caption_is_used_once_in_as_many_epochs() -> None:
    made = batches(pairs(3, captions=5), batch_size=3)
    for turn in range(2):
        shown: dict[int, list[str]] = {0: [], 1: [], 2: []}
        for epoch in range(5 * turn, 5 * turn + 5):
            batch = made.make(epoch)
            for index, text in zip(batch.indices.tolist(), texts(batch), strict=True):
                shown[index].append(text)
        for index, said in shown.items():
            assert sorted(said) == [f"photo {index} said {k}" for k in range(5)]


def test_photos_do_not_go_through_their_captions_in_step() -> None:
    made = batches(pairs(12, captions=5), batch_size=12)
    assert len({text[-1] for text in texts(made.make(0))}) > 1


def test_a_label_is_said_in_the_prompts_given() -> None:
    photo = CaptionedPhoto(Stored("a", png(0)), (), "red panda")
    made = batches([photo], prompts=lambda label: [f"a {label}", f"my {label}"])
    assert {texts(made.make(epoch))[0] for epoch in range(2)} == {"a red panda", "my red panda"}


def test_what_says_the_same_has_the_same_id() -> None:
    said = [("A dog",), ("a  DOG ",), ("a cat",), (), (), ()]
    labels = [None, None, None, "dog", "Dog", "cow"]
    photos = [
        CaptionedPhoto(Stored(str(i), png(i)), captions, label)
        for i, (captions, label) in enumerate(zip(said, labels, strict=True))
    ]
    prompts = {"dog": ["one dog"], "Dog": ["a big dog"], "cow": ["one dog"]}
    batch = batches(photos, batch_size=6, prompts=prompts.__getitem__).make(0)
    by_photo = dict(zip(batch.indices.tolist(), batch.ids.tolist(), strict=True))
    groups = [by_photo[0] == by_photo[1], by_photo[3] == by_photo[4]]
    assert groups == [True, True]
    assert len(set(by_photo.values())) == 4


def test_ids_are_the_same_in_every_process_and_fit_into_int64() -> None:
    assert meaning_id("a dog") == meaning_id("\tA  dog\n")
    assert meaning_id("a dog") == 9151722581430185315
    assert all(0 <= meaning_id(str(i)) < 2**63 for i in range(100))


def half_and_half(caption: str) -> CaptionedPhoto:
    pixels = np.zeros((16, 16, 3), dtype=np.uint8)
    pixels[:, 8:] = 255
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return CaptionedPhoto(Stored(caption, stream.getvalue()), (caption,))


@pytest.mark.parametrize(
    ("caption", "mirrored"),
    [
        ("a dog", True),
        ("a bright light", True),
        ("a dog on the left", False),
        ("The RIGHT-hand dog", False),
        ("ein Hund links", False),
        ("左边的狗", False),
    ],
)
def test_a_caption_that_names_a_side_is_not_made_untrue(caption: str, mirrored: bool) -> None:
    made = batches([half_and_half(caption)], augmentation=STILL)
    brighter_left = {
        bool(image[0, :, :3].mean() > image[0, :, 5:].mean())
        for image in (made.make(epoch).images[0] for epoch in range(20))
    }
    assert brighter_left == ({True, False} if mirrored else {False})


def broken(photos: list[CaptionedPhoto], number: int) -> list[CaptionedPhoto]:
    lost = replace(photos[number], source=Stored(f"{number}.png", b""))
    return [*photos[:number], lost, *photos[number + 1 :]]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_photo_that_is_gone_stops_with_its_name(workers: int) -> None:
    made = batches(broken(pairs(8), 5), workers=workers).iterate(0)
    with pytest.raises(ClipsearchError, match=r"the photo 5\.png cannot be read any more: No such"):
        list(islice(made, 2))


def view_threads() -> Iterator[threading.Thread]:
    return (thread for thread in threading.enumerate() if thread.name.startswith("clipsearch-"))


def test_two_batches_are_prepared_ahead_and_closing_ends_all_threads() -> None:
    decoded = []
    all_there, too_many = threading.Event(), threading.Event()

    def counting(data: bytes) -> Image.Image:
        decoded.append(1)
        if len(decoded) == 12:
            all_there.set()
        if len(decoded) > 12:
            too_many.set()
        return decode(data)

    made = PairBatches(
        pairs(40), PREPROCESS, Spelling(), counting, batch_size=4, seed=0, workers=2, keep_bytes=0
    )
    ahead = made.iterate(0)
    next(ahead)
    assert all_there.wait(30)  # one batch taken, two prepared
    assert not too_many.wait(0.2)
    assert list(view_threads())
    ahead.close()  # type: ignore[attr-defined]
    assert not list(view_threads())


def test_closing_does_not_wait_for_the_rest_of_a_batch() -> None:
    begun, closing = threading.Event(), threading.Event()
    decoded = []

    def slow(data: bytes) -> Image.Image:
        decoded.append(1)
        if len(decoded) > 20:
            begun.set()
            assert closing.wait(30)
            time.sleep(0.05)
        return decode(data)

    made = PairBatches(pairs(60), PREPROCESS, Spelling(), slow, batch_size=20, seed=0, workers=1)
    ahead = made.iterate(0)
    next(ahead)
    assert begun.wait(30)
    closer = threading.Thread(target=ahead.close)  # type: ignore[attr-defined]
    closer.start()
    closing.set()
    closer.join(30)
    assert not closer.is_alive()
    assert len(decoded) < 40


def test_decoded_once_while_there_is_room() -> None:
    decoded = []

    def counting(data: bytes) -> Image.Image:
        decoded.append(1)
        return decode(data)

    made = PairBatches(
        pairs(6), PREPROCESS, Spelling(), counting, batch_size=3, seed=0, workers=0, two_views=True
    )
    for step in range(6):
        made.make(step)
    assert len(decoded) == 6


@pytest.mark.parametrize(
    ("photos", "given", "message"),
    [
        ([], {}, "0 photos"),
        (pairs(1), {"seed": -1}, "-1 cannot be a seed"),
        (pairs(1), {"world": 2, "rank": 0}, "too few for 2 processes"),
        (pairs(4), {"world": 8, "rank": 0, "batch_size": 4}, "too few for 8 processes"),
        ([CaptionedPhoto(Stored("a.png", png(0)))], {}, "a.png has neither a caption nor a label"),
    ],
)
def test_what_cannot_be_made_into_batches(
    photos: list[CaptionedPhoto], given: dict[str, int], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        batches(photos, **given)
