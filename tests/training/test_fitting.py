"""The loop for pairs: it learns, applies a step whole or not at all, and goes on byte for byte."""

import io
import itertools
import math
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from clipsearch.errors import DamageError
from clipsearch.training.fitting import (
    Pace,
    Stepped,
    TrainingDivergedError,
    fit,
    learning_rate,
    make_optimizer,
)
from clipsearch.training.losses import MAX_LOGIT_SCALE, make_loss
from clipsearch.training.objective import PairObjective
from clipsearch.training.pair_batches import PairBatch, PairBatches
from clipsearch.training.states import NotFiniteError, load_state, newest_state, save_state
from clipsearch.training.trainee import TrainedAverage, Trainee
from clipsearch.training.tuning import Lora, Tune, TuneAll, prepare
from clipsearch.types import CaptionedPhoto, Preprocess
from tests.training.tiny_model import ARCHITECTURE, tokens_of

PREPROCESS = Preprocess((16, 16), (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
COLOURS = {"red": (220, 0, 0), "green": (0, 200, 0), "blue": (0, 0, 220), "white": (250,) * 3}


class PlainPhoto:
    """A photo of one colour, without a file."""

    def __init__(self, name: str, colour: tuple[int, ...]) -> None:
        self.name = name
        self._colour = colour

    def read(self) -> bytes:
        data = io.BytesIO()
        Image.new("RGB", (20, 20), self._colour).save(data, "PNG")  # type: ignore[arg-type]
        return data.getvalue()


PHOTOS = [
    CaptionedPhoto(PlainPhoto(f"{word}-{i}", colour), (f"a {word} square",), None)
    for i in range(3)
    for word, colour in COLOURS.items()
]


def decode(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data)).convert("RGB")


class TinyFit:
    """Everything `fit` needs, from one seed."""

    def __init__(
        self,
        steps: int = 12,
        tune: Tune | None = None,
        accumulate: int = 1,
        average: bool = False,
        loss: str = "unicl",
        peak: float = 3e-3,
    ) -> None:
        torch.manual_seed(0)
        model = open_clip.CLIP(**ARCHITECTURE)
        groups = prepare(model, tune or TuneAll())
        model.train()
        own = make_loss(loss)
        self.trainee = Trainee(
            model,
            own,
            make_optimizer(groups, own, 0.1),
            TrainedAverage(model, 0.9) if average else None,
        )
        self.objective = PairObjective(model, own, torch.device("cpu"))
        self.batches = PairBatches(
            PHOTOS, PREPROCESS, tokens_of, decode, batch_size=6, seed=5, workers=0
        )
        self.pace = Pace(steps, peak, warmup=2, accumulate=accumulate)

    def go(self, until: int | None = None) -> list[Stepped]:
        end = self.pace.steps if until is None else until
        return list(fit(self.trainee, self.objective, self.batches, self.pace, end))

    def everything(self) -> dict[str, Tensor]:
        found = dict(self.trainee.model.state_dict())
        found |= {f"loss.{n}": t for n, t in self.trainee.loss.state_dict().items()}
        for index, state in self.trainee.optimizer.state_dict()["state"].items():
            found |= {f"optimizer.{index}.{n}": torch.as_tensor(t) for n, t in state.items()}
        if self.trainee.average is not None:
            found |= {f"average.{n}": t for n, t in self.trainee.average.tensors.items()}
        return {name: t.clone() for name, t in found.items()}


def assert_same(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        assert torch.equal(tensor, other[name]), name


def test_colours_are_told_apart_after_some_steps() -> None:
    run = TinyFit(steps=60)
    steps = run.go()
    assert [each.step for each in steps] == list(range(1, 61))
    assert steps[-1].loss < 0.7 * steps[0].loss
    assert all(each.pairs == 6 for each in steps)


def test_the_learning_rate_rises_falls_and_is_never_zero() -> None:
    pace = Pace(steps=10, peak=1.0, warmup=3)
    rates = [learning_rate(pace, step) for step in range(10)]
    assert rates[0] == pytest.approx(1 / 3)
    assert rates.index(max(rates)) == 2
    assert max(rates) == pytest.approx(1.0)
    assert rates[3:] == sorted(rates[3:], reverse=True)
    assert rates[-1] > 0


def test_accumulated_batches_are_averaged() -> None:
    """Each with negatives of its own; the loss told is the batch's, not its share."""
    run = TinyFit()
    model = run.trainee.model
    batches = [run.batches.make(step) for step in range(2)]

    def gradients(share: float, *some: PairBatch) -> dict[str, Tensor]:
        model.zero_grad()
        losses.append([run.objective.backward(batch, share).item() for batch in some])
        return {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}

    losses: list[list[float]] = []
    first, second = (gradients(1.0, batch) for batch in batches)
    for name, gradient in gradients(0.5, *batches).items():
        torch.testing.assert_close(gradient, (first[name] + second[name]) / 2)
    assert losses[2] == pytest.approx([losses[0][0], losses[1][0]])


def test_a_sigmoid_loss_starts_where_the_model_stands() -> None:
    """At the scale of a softmax model a bias of -10 would call every pair a match."""
    run = TinyFit(loss="sigmoid")
    model = run.trainee.model
    with torch.no_grad():
        model.get_parameter("logit_scale").fill_(math.log(80))
    batch = run.batches.make(0)
    before = run.everything()
    parts: list[float] = []
    for chunk in (0, 2):
        objective = PairObjective(model, run.trainee.loss, torch.device("cpu"), chunk=chunk)  # type: ignore[arg-type]
        objective.settle(batch)
        parts.append(run.everything()["loss.bias"].item())
    assert parts[0] == pytest.approx(parts[1], abs=1e-3)
    with torch.no_grad():
        image = objective.encode_image(batch.images)
        logits = 80 * image @ objective.encode_text(batch.tokens).T + parts[0]
    matches = (batch.ids[:, None] == batch.ids[None]).float().mean().item()
    assert torch.sigmoid(logits).mean().item() == pytest.approx(matches, abs=1e-3)
    after = run.everything()
    assert after.pop("loss.bias") != before.pop("loss.bias")
    assert_same(before, after)


def test_a_layer_s_learning_rate_is_scaled() -> None:
    run = TinyFit(steps=2)
    run.trainee.optimizer.param_groups[0]["scale"] = 0.5
    run.go(1)
    first, second = (group["lr"] for group in run.trainee.optimizer.param_groups[:2])
    assert first == 0.5 * second == 0.5 * learning_rate(run.pace, 0)


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize(
    ("tune", "loss"),
    [(TuneAll(), "unicl"), (Lora(2, 4.0, 0.5), "unicl"), (TuneAll(), "sigmoid")],
    ids=["all", "lora with dropout", "a loss that learns"],
)
@pytest.mark.row("J3")
def test_a_resumed_run_is_byte_for_byte_the_undisturbed_one(
    tmp_path: Path, tune: Tune, loss: str, accumulate: int
) -> None:
    straight = TinyFit(9, tune, accumulate, average=True, loss=loss)
    straight.go()
    first = TinyFit(9, tune, accumulate, average=True, loss=loss)
    first.go(4)
    save_state(tmp_path, first.trainee, "run")
    torch.manual_seed(99)
    second = TinyFit(9, tune, accumulate, average=True, loss=loss)
    torch.rand(7)
    newest = newest_state(tmp_path)
    assert newest is not None
    load_state(newest, second.trainee, "run")
    assert second.trainee.step == 4
    second.go()
    assert_same(second.everything(), straight.everything())


class Broken:
    """Batches of which number `bad` has a pixel that is no number, or raises Ctrl-C."""

    def __init__(self, batches: PairBatches, bad: int, interrupt: bool = False) -> None:
        self._batches, self._bad, self._interrupt = batches, bad, interrupt

    def iterate(self, first_step: int) -> Iterator[PairBatch]:
        for step in itertools.count(first_step):
            batch = self._batches.make(step)
            if step == self._bad:
                if self._interrupt:
                    raise KeyboardInterrupt
                batch.images[2, 0, 3, 3] = torch.nan
            yield batch


@pytest.mark.row("J1")
def test_a_loss_that_is_no_number_names_the_photos_and_changes_nothing() -> None:
    run = TinyFit(average=True)
    run.go(3)
    before = run.everything()
    expected = run.batches.make(3).indices.tolist()
    run.batches = Broken(run.batches, 3)  # type: ignore[assignment]
    with pytest.raises(TrainingDivergedError, match="the loss of step 3") as raised:
        run.go()
    assert list(raised.value.photos) == expected
    assert_same(run.everything(), before)
    assert run.trainee.step == 3


@pytest.mark.row("J1")
def test_a_gradient_that_is_no_number_is_not_applied_either() -> None:
    run = TinyFit()
    run.go(1)
    before = run.everything()
    parameter = run.trainee.model.get_parameter("text_projection")
    parameter.register_hook(lambda gradient: gradient * torch.inf)
    with pytest.raises(TrainingDivergedError, match="the gradient of step 1"):
        run.go()
    assert_same(run.everything(), before)


class Normed(nn.Module):
    """A model whose forward pass draws random numbers and keeps running means."""

    def __init__(self) -> None:
        super().__init__()
        self.logit_scale = nn.Parameter(torch.zeros(()))
        self.norm = nn.BatchNorm1d(2)
        self.drop = nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Tensor:
        rows: Tensor = self.drop(self.norm(x))
        return rows


class NormedObjective:
    """Backward passes of which number `stop` is interrupted after the forward pass."""

    def __init__(self, model: nn.Module, stop: int) -> None:
        self._model, self._left = model, stop

    def backward(self, batch: PairBatch, share: float) -> Tensor:
        value: Tensor = self._model(batch.images[:, :2, 0, 0]).sum()
        value = value + self._model.get_parameter("logit_scale")
        self._left -= 1
        if self._left < 0:
            raise KeyboardInterrupt
        (value * share).backward()  # type: ignore[no-untyped-call]
        return value.detach()


def test_an_interrupted_step_leaves_no_trace_in_random_numbers_or_running_means() -> None:
    model = Normed().train()
    optimizer = torch.optim.AdamW([{"params": list(model.parameters()), "scale": 1.0}], lr=0.0)
    trainee = Trainee(model, make_loss("unicl"), optimizer)
    batches = TinyFit().batches
    steps = fit(trainee, NormedObjective(model, 2), batches, Pace(9, 1e-3, 1), 9)
    next(steps)
    next(steps)
    before = {name: t.clone() for name, t in model.state_dict().items()}
    random = torch.get_rng_state()
    with pytest.raises(KeyboardInterrupt):
        next(steps)
    assert_same(dict(model.state_dict()), before)
    assert torch.equal(torch.get_rng_state(), random)
    assert trainee.step == 2


def test_ctrl_c_while_weights_change_waits_until_they_have() -> None:
    run = TinyFit()
    undisturbed = TinyFit()
    undisturbed.go(1)
    update = run.trainee.optimizer.step
    calls = []

    def interrupted(*arguments: object) -> None:
        signal.raise_signal(signal.SIGINT)
        calls.append("still running")
        update()

    run.trainee.optimizer.step = interrupted  # type: ignore[assignment, method-assign]
    with pytest.raises(KeyboardInterrupt):
        run.go()
    assert calls == ["still running"]
    assert run.trainee.step == 1
    assert_same(run.everything(), undisturbed.everything())


def test_the_temperature_stays_in_its_range() -> None:
    run = TinyFit(steps=1)
    run.trainee.model.get_parameter("logit_scale").data.fill_(9.0)
    run.go()
    assert run.trainee.model.get_parameter("logit_scale").item() == pytest.approx(MAX_LOGIT_SCALE)


@pytest.mark.row("J1")
def test_nothing_that_is_no_number_is_saved(tmp_path: Path) -> None:
    run = TinyFit()
    run.go(1)
    good = save_state(tmp_path, run.trainee, "run")
    run.go(2)
    run.trainee.model.get_parameter("text_projection").data[0, 0] = torch.inf
    with pytest.raises(NotFiniteError, match="text_projection"):
        save_state(tmp_path, run.trainee, "run")
    assert newest_state(tmp_path) == good


def test_the_last_two_checkpoints_are_kept(tmp_path: Path) -> None:
    run = TinyFit()
    for until in (1, 2, 3):
        run.go(until)
        save_state(tmp_path, run.trainee, "run")
    names = [f"step-{step:08d}.safetensors" for step in (2, 3)]
    assert sorted(p.name for p in tmp_path.iterdir()) == names


@pytest.mark.row("J6")
def test_a_checkpoint_of_another_run_or_model_is_refused(tmp_path: Path) -> None:
    run = TinyFit()
    run.go(1)
    path = save_state(tmp_path, run.trainee, "run")
    with pytest.raises(DamageError, match="another run"):
        load_state(path, TinyFit().trainee, "other")
    with pytest.raises(DamageError, match="no checkpoint of this run"):
        load_state(path, TinyFit(tune=Lora(2, 4.0)).trainee, "run")


def test_lora_checkpoints_hold_what_is_trained_alone(tmp_path: Path) -> None:
    run = TinyFit(tune=Lora(2, 4.0))
    run.go(1)
    whole = TinyFit()
    whole.go(1)
    small = save_state(tmp_path / "lora", run.trainee, "run").stat().st_size
    large = save_state(tmp_path / "all", whole.trainee, "run").stat().st_size
    assert small < large / 10


def test_the_average_follows_the_weights() -> None:
    run = TinyFit(average=True)
    start = {name: t.clone() for name, t in run.trainee.weights().items()}
    run.go(1)
    now = run.trainee.model.state_dict()
    decay = 2 / 11
    for name, average in run.trainee.weights().items():
        expected = np.asarray(decay * start[name] + (1 - decay) * now[name])
        np.testing.assert_allclose(average, expected, rtol=1e-4, atol=1e-6)
