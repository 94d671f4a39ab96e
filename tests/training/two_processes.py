"""What each of two processes does in test_distributed.py; also run alone, as its twin.

In float64: a gradient that is zero but for rounding (of a bias added to all keys alike) becomes
a step in one direction or the other in Adam's hands.
"""

from pathlib import Path

import torch
import torch.distributed as dist
from safetensors.torch import save_file
from torch import Tensor, nn

from clipsearch.training.distributed import (
    average_gradients,
    average_gradients_and,
    average_statistics,
    gather_rows,
    rank,
    world_size,
)
from clipsearch.training.gradient_cache import Encoding, backward_in_chunks
from clipsearch.training.losses import LOSS_NAMES, clamp_temperature, make_loss
from clipsearch.training.sharding import clip_gradients, share_out, whole
from clipsearch.training.tuning import LockImage, Lora, Tune, TuneAll, merge, prepare
from tests.training.towers import RESNET10T, batch, clip

PAIRS = 8
IDS = torch.tensor([0, 1, 2, 3, 1, 4, 5, 0])  # 1 and 0 occur in both halves
TUNES: dict[str, Tune] = {"all": TuneAll(), "lora": Lora(2, 4.0), "locked image": LockImage()}
STEPS = 3


def own_share(rows: Tensor) -> Tensor:
    return rows.chunk(world_size())[rank()]


class Step:
    """One optimiser step over this process's share of the eight pairs."""

    def __init__(self, model: nn.Module, loss_name: str) -> None:
        self.model = model
        self.loss = make_loss(loss_name).double()
        photos, tokens = batch(model, PAIRS)
        photos = photos.double()
        self.photos, self.tokens, self.ids = map(own_share, (photos, tokens, IDS))
        self.trained = [*model.parameters(), *self.loss.parameters()]
        self.optimizer = torch.optim.AdamW(
            [p for p in self.trained if p.requires_grad], lr=1e-3, eps=1e-6, weight_decay=0.1
        )

    def of_all(self, image: Tensor, text: Tensor) -> Tensor:
        every_image, every_text, ids = map(gather_rows, (image, text, self.ids))
        scale, bias = self.model.logit_scale.exp(), self.model.logit_bias
        return self.loss(every_image, every_text, ids, scale, bias)

    def encodings(self) -> list[Encoding]:
        return [
            Encoding(lambda rows: self.model.encode_image(rows, normalize=True), self.photos),
            Encoding(lambda rows: self.model.encode_text(rows, normalize=True), self.tokens),
        ]

    def backward(self) -> Tensor:
        value = self.of_all(*(e.encode(e.inputs) for e in self.encodings()))
        value.backward()
        return value.detach()

    def take(self, value: Tensor) -> None:
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        clamp_temperature(self.model)
        self.values = [*getattr(self, "values", []), value]

    def result(self) -> dict[str, Tensor]:
        return {**self.model.state_dict(), "losses": torch.stack(self.values)}


def train(loss_name: str, tune: str, chunk: int | None) -> dict[str, Tensor]:
    model = clip().double()
    torch.manual_seed(0)  # as every process of a run does: LoRA starts at one place
    prepare(model, TUNES[tune])
    model.train()
    step = Step(model, loss_name)
    for _ in range(STEPS):
        if chunk is None:
            value = step.backward()
        else:
            value = backward_in_chunks(model, step.encodings(), step.of_all, chunk)
        average_gradients(step.trained)
        step.take(value)
    merge(model)
    return step.result()


def train_sharded(tune: str, chunk: int | None) -> dict[str, Tensor]:
    model = clip().double()
    torch.manual_seed(0)
    groups = prepare(model, TUNES[tune])
    model.train()
    share_out(model, groups)
    step = Step(model, "unicl")
    for _ in range(STEPS):
        if chunk is None:
            value = step.backward()
        else:
            value = backward_in_chunks(model, step.encodings(), step.of_all, chunk)
        average_gradients(step.trained)
        step.take(value)
    return {**whole(model.state_dict()), "losses": torch.stack(step.values)}


def follow_statistics() -> dict[str, Tensor]:
    model = clip(RESNET10T).train()
    photos, _ = batch(model, PAIRS)
    model.encode_image(own_share(photos))
    average_statistics(model)
    return {name: buffer for name, buffer in model.named_buffers() if "running" in name}


def unused_parameters() -> dict[str, Tensor]:
    """One parameter used everywhere, one in the first process alone, one nowhere."""
    everywhere, somewhere, nowhere = (nn.Parameter(torch.ones(2, 2)) for _ in range(3))
    (everywhere * (rank() + 1.0)).sum().backward()
    if rank() == 0:
        (somewhere * 3.0).sum().backward()
    figures = torch.tensor([1.0 + 2 * rank(), 5.0])
    means = average_gradients_and([everywhere, somewhere, nowhere], figures)
    assert nowhere.grad is None
    return {"everywhere": everywhere.grad, "somewhere": somewhere.grad, "figures": means}


def unequal_scalars() -> dict[str, Tensor]:
    """The loss of all rows gives equal ones by itself; here each process has its own."""
    model = clip()
    share_out(model, [])
    model.logit_scale.grad = torch.tensor(rank() + 1.0)
    average_gradients(model.parameters())
    return {"logit_scale": model.logit_scale.grad}


def clipped(*, sharded: bool) -> dict[str, Tensor]:
    """The norm of all gradients, and one of them clipped to a hundredth of it."""
    model = clip().double()
    if sharded:
        share_out(model, [])
    step = Step(model, "unicl")
    step.backward()
    average_gradients(step.trained)
    parameters = [p for p in step.trained if p.grad is not None]
    norm = clip_gradients(parameters, 1e-2)
    gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    return {**whole(gradients), "norm": torch.tensor(norm)}


def run(own_rank: int, folder: Path) -> None:
    """One of the two; the results of each lie in `folder` afterwards."""
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/meeting", rank=own_rank, world_size=2
    )
    results = {f"loss {name}": train(name, "all", None) for name in LOSS_NAMES}
    results |= {f"tune {name}": train("unicl", name, None) for name in TUNES}
    results["chunks"] = train("unicl", "all", 3)
    results["statistics"] = follow_statistics()
    results["unused"] = unused_parameters()
    results["scalars"] = unequal_scalars()
    for name in ("all", "lora"):
        results[f"sharded {name}"] = train_sharded(name, None)
    results["sharded chunks"] = train_sharded("all", 3)
    results["clipped"] = clipped(sharded=True)
    for name, tensors in results.items():
        plain = {key: tensor.detach().contiguous() for key, tensor in tensors.items()}
        save_file(plain, folder / f"{name}-{own_rank}.safetensors")
    dist.destroy_process_group()
