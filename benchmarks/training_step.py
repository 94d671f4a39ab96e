"""One training step of clipsearch beside one of open_clip's own training script.

    python benchmarks/training_step.py --data ../shared/data/captioned [--batches 32,64]
                                       [--precisions fp32,bf16] [--ways whole,all,text] [--steps 3]

Both train the same ViT-B-32 with random weights on the same batches of photos and captions, with
the same number of threads. open_clip's side is `open_clip_train.train.train_one_epoch` itself, with
the optimiser, the loss and the rates that `open_clip_train.main` makes of its default arguments;
clipsearch's side is `clipsearch.training.fitting.fit`. Each is a process of its own and they take
turns, a step each, so that whatever else the machine does falls on both. Reading photos is no part
of a step. The first loss of both is printed: the same number is the same work. Needs nothing
besides clipsearch's own dependencies: `open_clip_train` comes with open_clip.

The ways, and what each is compared with:
  whole  every weight, the batch at once, no other loss: what open_clip does
  all    `finetune --tune all` as it is by default: chunks, and the anchor beside the loss
  text   `finetune` with few photos: the text tower on stored embeddings, and the anchor;
         open_clip: `--lock-image`
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from machine import load_average, machine

ARCHITECTURE = "ViT-B-32"
BATCHES_MADE = 2
WAYS = {"whole": "open_clip", "all": "open_clip", "text": "open_clip-locked"}
UNMEASURED = 1  # the first step allocates, and the optimiser's first makes its state


@dataclass(frozen=True)
class Case:
    """What a process is to do: `side` is a way of clipsearch's or open_clip's."""

    side: str
    model: str
    data: str
    batch: int
    precision: str
    threads: int
    steps: int


@dataclass(frozen=True)
class Step:
    wall: float
    cpu: float
    loss: float


def checkpoint(folder: Path) -> None:
    """An open_clip directory with random weights."""
    import open_clip
    import torch
    from open_clip.transform import PreprocessCfg
    from safetensors.torch import save_file

    if (folder / "open_clip_model.safetensors").is_file():
        return
    torch.manual_seed(0)
    model = open_clip.create_model(ARCHITECTURE, pretrained=None)
    config = {
        "model_cfg": open_clip.get_model_config(ARCHITECTURE),
        "preprocess_cfg": asdict(PreprocessCfg(size=224)),
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    save_file(model.state_dict(), folder / "open_clip_model.safetensors")


class Gate:
    """Batches that are handed out when the parent says so; between two of them lies a step."""

    def __init__(self, batches: list[Any], steps: int) -> None:
        self._batches, self._steps = batches, steps
        self.loss = 0.0

    def __iter__(self) -> Iterator[Any]:
        for number in range(self._steps):
            sys.stdin.readline()
            wall, cpu = time.perf_counter(), time.process_time()
            yield self._batches[number % len(self._batches)]
            # open_clip clamps the temperature after its step, clipsearch in it: a scalar.
            print(
                json.dumps([time.perf_counter() - wall, time.process_time() - cpu, self.loss]),
                flush=True,
            )


def batches_of(case: Case, loaded: Any) -> list[Any]:
    """The same for both sides, as clipsearch makes them."""
    from clipsearch.pairs.reading import read_photos
    from clipsearch.photos.opening import open_photo
    from clipsearch.training.pair_batches import PairBatches
    from clipsearch.training.tokens import tokenize_with

    photos = read_photos(Path(case.data))[: BATCHES_MADE * case.batch]
    tokenize = tokenize_with(loaded.tokenizer, loaded.context_length)
    batches = PairBatches(
        photos, loaded.preprocess, tokenize, open_photo, batch_size=case.batch, seed=0
    )
    return [batches.make(step) for step in range(BATCHES_MADE)]


def clipsearch_steps(case: Case) -> None:
    import torch

    from clipsearch.encoders.openclip import load_model
    from clipsearch.finetuning.settings import Circumstances, Wishes, resolve
    from clipsearch.training.anchoring import DRAWN, anchor_to
    from clipsearch.training.fitting import Pace, fit, make_optimizer
    from clipsearch.training.losses import make_loss
    from clipsearch.training.objective import PairObjective, TextTerm
    from clipsearch.training.processes import compute_with
    from clipsearch.training.shipping import parameter_count
    from clipsearch.training.tokens import tokenize_with
    from clipsearch.training.trainee import Trainee
    from clipsearch.training.tuning import prepare
    from clipsearch.training.tuning_names import tune_called

    loaded = load_model(Path(case.model))
    model, device = loaded.model, torch.device("cpu")
    whole = case.side == "whole"
    wishes = Wishes(
        batch_size=case.batch,
        precision=case.precision,
        tune="text" if case.side == "text" else "all",
        chunk=0 if whole else None,
        anchor=0.0 if whole else None,
    )
    found = Circumstances(
        photos=400,
        usable=560,
        parameters=parameter_count(model),
        device="cpu",
        bfloat16=True,
        threads=case.threads,
        world=1,
    )
    settings = resolve("finetune", wishes, found)
    compute_with(case.threads, 0)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in loaded.trainable)
    groups = prepare(model, tune_called(settings.tune))
    loss = make_loss(settings.loss)
    model.train()
    plain = PairObjective(model, loss, device, precision=settings.precision)
    batches = batches_of(case, loaded)
    if settings.stored_views:
        with torch.no_grad():
            batches = [replace(b, images=plain.encode_image(b.images)) for b in batches]
    terms = []
    if settings.anchor:
        from clipsearch.finetuning.measuring import general_prompts

        tokenize = tokenize_with(loaded.tokenizer, loaded.context_length)
        drawn = min(DRAWN, 2 * case.batch)
        anchor = anchor_to(general_prompts(), tokenize, plain.encode_text, device, drawn)
        terms = [TextTerm(anchor, settings.anchor)]
    objective = PairObjective(
        model,
        loss,
        device,
        precision=settings.precision,
        chunk=settings.chunk,
        text_terms=terms,
        images_are_stored=settings.stored_views > 0,
    )
    trainee = Trainee(model, loss, make_optimizer(groups, loss, settings.weight_decay))
    gate = Gate(batches, case.steps)
    pace = Pace(steps=10_000, peak=settings.learning_rate, warmup=100)

    class Gated:
        def iterate(self, first_step: int) -> Iterator[Any]:  # noqa: ARG002
            return iter(gate)

    ready(f"chunks of {settings.chunk}, anchor {settings.anchor:g}, {settings.precision}")
    # One step more than there are batches: the gate measures the last one before it ends.
    try:
        for stepped in fit(trainee, objective, Gated(), pace, case.steps + 1):
            gate.loss = stepped.loss
    except RuntimeError as error:
        if not isinstance(error.__cause__, StopIteration):
            raise


def open_clip_steps(case: Case) -> None:
    import open_clip
    import torch
    from open_clip_train.params import parse_args
    from open_clip_train.scheduler import cosine_lr
    from open_clip_train.train import train_one_epoch

    from clipsearch.encoders.openclip import load_model

    torch.set_num_threads(case.threads)
    batches = [
        # Contiguous, as its DataLoader collates them.
        (batch.images.contiguous(), batch.tokens)
        for batch in batches_of(case, load_model(Path(case.model)))
    ]
    precision = {"fp32": "fp32", "bf16": "amp_bf16"}[case.precision]
    args = parse_args(
        ["--model", ARCHITECTURE, "--precision", precision, "--batch-size", str(case.batch)]
    )
    # What open_clip_train.main adds to its arguments when there is one process.
    args.device, args.rank, args.local_rank, args.world_size = "cpu", 0, 0, 1
    args.distributed = args.distill = args.horovod = args.wandb = False
    model = open_clip.create_model(
        f"local-dir:{case.model}", precision=args.precision, device="cpu", output_dict=True
    )
    if case.side == "open_clip-locked":
        model.lock_image_tower()
    rest: list[torch.nn.Parameter] = []
    undecayed: list[torch.nn.Parameter] = []
    for name, p in model.named_parameters():
        plain = p.ndim < 2 or any(part in name for part in ("bn", "ln", "bias", "logit_scale"))
        if p.requires_grad:
            (undecayed if plain else rest).append(p)
    optimizer = torch.optim.AdamW(
        [
            {"params": undecayed, "weight_decay": 0.0},
            {"params": rest, "weight_decay": args.wd},
        ],
        lr=args.lr,
        betas=(args.beta1, args.beta2),
        eps=args.eps,
    )
    scheduler = cosine_lr(optimizer, args.lr, args.warmup, 10_000)
    gate = Gate(batches, case.steps)
    loss = open_clip.create_loss(args)

    def noted(_module: Any, _given: Any, losses: dict[str, Any]) -> None:
        gate.loss = float(sum(losses.values()).detach())

    loss.register_forward_hook(noted)

    class Loader:
        num_batches, num_samples = case.steps, case.steps * case.batch

        def __iter__(self) -> Iterator[Any]:
            return iter(gate)

    class Data:
        dataloader = Loader()

        def set_epoch(self, _epoch: int) -> None:
            pass

    ready(args.precision)
    train_one_epoch(model, {"train": Data()}, loss, 0, optimizer, None, scheduler, None, args)


def ready(what: str) -> None:
    print(json.dumps({"ready": what}), flush=True)


class Side:
    """A process that makes a step when told to."""

    def __init__(self, case: Case) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, "--case", json.dumps(asdict(case))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            # Threads that wait sleep, so that CPU seconds are work also on a busy machine.
            env=os.environ | {"OMP_WAIT_POLICY": "passive"},
        )
        self.what = self._said()["ready"]

    def step(self) -> Step:
        assert self._process.stdin is not None
        self._process.stdin.write("go\n")
        self._process.stdin.flush()
        return Step(*self._said())

    def peak(self) -> float:
        """Its largest resident memory in GB; ends it."""
        peak: float = self._said()["peak"]
        if self._process.wait():
            sys.exit("a side failed")
        return peak

    def _said(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            sys.exit(f"a side ended with {self._process.wait()}")
        return json.loads(line)


def compared(way: str, ours: Side, theirs: Side, case: Case) -> None:
    steps: tuple[list[Step], list[Step]] = ([], [])
    for turn in range(case.steps):
        # Who goes first changes, so that neither always follows the other's cache.
        for number in (0, 1) if turn % 2 == 0 else (1, 0):
            steps[number].append((ours, theirs)[number].step())
    peaks = ours.peak(), theirs.peak()
    print(f"{way}, batch {case.batch}, {case.precision} ({ours.what}); {load_average()}")
    for name, made, peak in zip(("clipsearch", WAYS[way]), steps, peaks, strict=True):
        measured = made[UNMEASURED:]
        wall, cpu = median_of(measured, lambda s: s.wall), median_of(measured, lambda s: s.cpu)
        low, high = min(s.wall for s in measured), max(s.wall for s in measured)
        print(
            f"  {name:17} {wall:7.2f} s a step ({low:.2f} to {high:.2f}), {cpu:7.2f} s CPU, "
            f"{case.batch / wall:6.1f} pairs/s, peak {peak:.1f} GB, first loss {made[0].loss:.4f}"
        )
    pairs = list(zip(*(made[UNMEASURED:] for made in steps), strict=True))
    walls = sorted(theirs.wall / ours.wall for ours, theirs in pairs)
    cpus = sorted(theirs.cpu / ours.cpu for ours, theirs in pairs)
    print(
        f"  open_clip takes {statistics.median(walls):.2f} times as long ({walls[0]:.2f} to "
        f"{walls[-1]:.2f}), CPU {statistics.median(cpus):.2f} ({cpus[0]:.2f} to {cpus[-1]:.2f})",
        flush=True,
    )


def median_of(steps: list[Step], figure: Callable[[Step], float]) -> float:
    return statistics.median(map(figure, steps))


def one_side(text: str) -> None:
    case = Case(**json.loads(text))
    (clipsearch_steps if case.side in WAYS else open_clip_steps)(case)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # KiB, on Linux
    print(json.dumps({"peak": peak * 1024 / 1e9}), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="photos with captions, as for finetune")
    parser.add_argument("--work", type=Path, default=Path("runs/training_step"))
    parser.add_argument("--batches", default="32,64")
    parser.add_argument("--precisions", default="fp32,bf16")
    parser.add_argument("--ways", default="whole,all,text")
    parser.add_argument("--steps", type=int, default=3, help="measured ones")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--case", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.case:
        return one_side(arguments.case)
    if arguments.data is None:
        parser.error("--data is needed")
    model = arguments.work.resolve() / "model"
    checkpoint(model)
    print(f"{machine()}; {load_average()}; {ARCHITECTURE}, {arguments.threads} threads", flush=True)
    for precision in arguments.precisions.split(","):
        for batch in map(int, arguments.batches.split(",")):
            for way in arguments.ways.split(","):
                case = Case(
                    way,
                    str(model),
                    str(arguments.data.resolve()),
                    batch,
                    precision,
                    arguments.threads,
                    arguments.steps + UNMEASURED,
                )
                ours, theirs = Side(case), Side(replace(case, side=WAYS[way]))
                compared(way, ours, theirs, case)
    return None


if __name__ == "__main__":
    main()
