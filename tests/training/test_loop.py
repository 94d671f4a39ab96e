"""The loop learns, stops on a broken loss, and its short-text path equals open_clip's."""

import math
from dataclasses import replace
from pathlib import Path

import open_clip
import pytest
import torch
from torch import Tensor

from clipsearch.training.augment import MEAN, STD
from clipsearch.training.export import export_open_clip
from clipsearch.training.loop import (
    Losses,
    Report,
    TrainingDivergedError,
    train,
)
from clipsearch.training.losses import MAX_LOGIT_SCALE
from clipsearch.training.short_texts import encode_short_text
from clipsearch.training.teacher import Teacher
from tests.training.tiny_model import ARCHITECTURE, COMPACT, TinyRun, tokens_of


def run_all(run: TinyRun, teacher: Teacher | None = None) -> list[Report]:
    start: dict[str, int | float] = {"step": 0, "seconds": 0.0}
    return list(
        train(run.learner, teacher, run.average, run.optimizer, run.batches, run.schedule, start,
              report_every=10)
    )  # fmt: skip


def test_red_and_blue_are_told_apart_after_a_few_steps() -> None:
    reports = run_all(TinyRun(steps=40))
    assert reports[-1].captions_loss < 0.5 * reports[0].captions_loss
    assert reports[-1].concepts_loss < 0.5 * reports[0].concepts_loss
    assert reports[-1].mixed_loss < reports[0].mixed_loss
    assert reports[-1].taught_loss == 0.0
    assert reports[-1].accuracy > 0.95
    assert reports[-1].progress == 1.0
    assert reports[-1].photos_seen == 40 * 8


@pytest.mark.parametrize("step", [1, 2, 3])  # without a photo made black and white
def test_the_second_half_of_a_batch_is_mixed_as_it_says(step: int) -> None:
    batch = TinyRun(steps=1).batches.make(step, 16)
    pixels = batch.images * torch.tensor(STD)[:, None, None] + torch.tensor(MEAN)[:, None, None]
    red, blue = pixels[:, 0].mean(dim=(1, 2)), pixels[:, 2].mean(dim=(1, 2))
    own = batch.shown.positive[:, 0].float()  # 1 for red, 0 for blue
    share, partner = batch.mixture.share, batch.mixture.partner
    expected = torch.cat([own[:4], share * own[4:] + (1 - share) * own[4:][partner]])
    assert torch.allclose(red / (red + blue), expected, atol=0.2)


def test_texts_speak_of_the_photos_that_are_not_mixed() -> None:
    batch = TinyRun(steps=1).batches.make(0, 16)
    assert len(batch.images) == len(batch.shown.positive) == 8
    assert batch.texts.positive.shape[0] == 4
    red = ["red" in caption for caption in batch.texts.captions[: batch.texts.concept_count]]
    named_red = batch.texts.positive[:, red.index(True)]
    assert torch.equal(named_red, batch.shown.positive[:4, 0])


def test_a_teacher_is_followed_where_labels_say_otherwise() -> None:
    class SaysBlue(Teacher):
        def __init__(self) -> None: ...

        def judge(self, images: Tensor) -> Tensor:
            return torch.tensor([[0.0, 1.0]]).expand(len(images), 2)

    taught, alone = TinyRun(steps=30), TinyRun(steps=30)
    reports = run_all(taught, SaysBlue())
    assert reports[-1].taught_loss < 0.7 * reports[0].taught_loss
    assert reports[-1].concepts_loss > 2 * run_all(alone)[-1].concepts_loss


def test_losses_are_computed_in_float32() -> None:
    run = TinyRun(steps=1)
    losses = run.learner.losses(run.batches.make(0, 16), torch.full((8, 2), 0.5))
    assert [each.dtype for each in losses] == [torch.float32] * len(losses)


def test_a_gradient_that_is_not_finite_stops_before_the_weights_change(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = TinyRun(steps=1)
    bias = run.learner.kinds.bias
    before = bias.detach().clone()

    def losses(batch: object, judged: object) -> Losses:
        nothing = torch.zeros(())
        steep = (bias - bias.detach()).abs().sqrt()  # 0, with a slope that is no number
        return Losses(steep, *([nothing] * (len(Losses._fields) - 1)))

    monkeypatch.setattr(run.learner, "losses", losses)
    with pytest.raises(TrainingDivergedError, match="gradient"):
        run_all(run)
    assert torch.equal(bias, before)


@pytest.mark.parametrize(
    ("term", "weight"),
    [("captions", 1.0), ("concepts", 1.0), ("kinds", 0.2), ("mixed", 1.0), ("taught", 2.0)],
)
def test_every_term_counts_with_its_weight(
    term: str, weight: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = TinyRun(steps=1)
    run.schedule = replace(run.schedule, grad_clip=100.0)
    bias = run.learner.kinds.bias

    def losses(batch: object, judged: object) -> Losses:
        nothing = torch.zeros(())
        return Losses(*([nothing] * len(Losses._fields)))._replace(**{term: 3.0 * bias})

    monkeypatch.setattr(run.learner, "losses", losses)
    run_all(run)
    assert bias.grad is not None
    assert bias.grad.item() == pytest.approx(3.0 * weight)


def test_a_loss_that_is_not_finite_stops_before_the_weights_change() -> None:
    run = TinyRun(steps=3)
    run.learner.kinds.bias.data.fill_(float("nan"))
    before = run.learner.clip.get_parameter("text_projection").clone()
    with pytest.raises(TrainingDivergedError, match="step 0"):
        run_all(run)
    assert torch.equal(run.learner.clip.get_parameter("text_projection"), before)


def test_logit_scale_stays_in_its_range() -> None:
    run = TinyRun(steps=2)
    run.learner.clip.get_parameter("logit_scale").data.fill_(9.0)
    run_all(run)
    assert run.learner.clip.get_parameter("logit_scale").item() <= MAX_LOGIT_SCALE
    assert math.isclose(MAX_LOGIT_SCALE, math.log(100))


def test_short_texts_are_encoded_as_open_clip_encodes_padded_ones() -> None:
    torch.manual_seed(0)
    clip = open_clip.CLIP(**ARCHITECTURE).eval()
    rows = tokens_of(["red", "a photo of blue"])
    with torch.no_grad():
        expected = clip.encode_text(rows, normalize=True)
        found = encode_short_text(clip, rows[:, :6])
    assert torch.allclose(found, expected, atol=1e-6)


def test_an_exported_folder_is_loaded_by_open_clip_alone(tmp_path: Path) -> None:
    run = TinyRun(steps=5)
    run_all(run)
    trained = run.average.shadow.get_submodule("clip")
    export_open_clip(tmp_path, trained, ARCHITECTURE, COMPACT, 16)
    loaded, _ = open_clip.create_model_from_pretrained(f"local-dir:{tmp_path}")
    loaded.eval()
    rows = tokens_of(["a photo of red"])
    with torch.no_grad():
        found = loaded.encode_text(rows, normalize=True)
        expected = encode_short_text(trained, COMPACT.compact(rows))
    assert torch.allclose(found, expected, atol=2e-3)  # float16 on disk
    photo = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        cosine = (
            loaded.encode_image(photo, normalize=True)
            @ trained.encode_image(photo, normalize=True).T  # type: ignore[operator]
        )
    assert cosine.item() > 0.9999
