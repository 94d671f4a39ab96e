"""Train the starter model from scratch, as it is shipped in data/starter.

    python recipes/starter.py --data ../shared/data --out runs/starter

Interrupted, the same command goes on from the last checkpoint. The folder `export` in `--out`
holds the current averaged weights (at the end: the last ones), for open_clip to load; it is
renewed with every checkpoint.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import open_clip
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from photo_sets import album_photos, near_duplicates, read_set, thumbnails
from safetensors.torch import load_file
from torch import Tensor
from torch.multiprocessing.spawn import spawn
from torch.nn.functional import normalize

from clipsearch.training.averaging import MovingAverage
from clipsearch.training.batches import LabelledPhotos, PhotoPool, TextSampler
from clipsearch.training.captions import all_captions, all_names, words_of, zero_shot_prompts
from clipsearch.training.checkpoints import latest_checkpoint, load_checkpoint, save_checkpoint
from clipsearch.training.colours import ColourTexts, all_colour_captions
from clipsearch.training.concepts import Concept, concept_of_label, read_concepts
from clipsearch.training.export import Architecture, export_open_clip
from clipsearch.training.loop import (
    BatchMaker,
    Learner,
    Report,
    Schedule,
    make_optimizer,
    train,
)
from clipsearch.training.prototypes import Prototypes
from clipsearch.training.schedule import SizeStage
from clipsearch.training.teacher import Teacher
from clipsearch.training.vocabulary import CompactTokens, trimmed, used_tokens

CONCEPTS = Path(__file__).parent.parent / "data" / "labels" / "concepts.tsv"
END_TOKEN = 49407
CONTEXT_LENGTH = 32
# Small sets are shown more often, so that their many labels are learned too.
REPEATS = {
    "mini": 0.8,
    "tiny": 1.3,
    "caltech": 2.0,
    "scenes": 0.8,
    "grocery": 3.0,
    "clothing": 2.0,
    "pacs": 1.5,
    "catdog": 1.5,
}
HELD_OUT = ("mini", "tiny", "caltech", "scenes", "grocery", "clothing")
CHECKPOINT_SECONDS = 240


def architecture(tower: str) -> Architecture:
    """The towers: a timm network for photos, two small transformer blocks for text."""
    return {
        "embed_dim": 256,
        "vision_cfg": {
            "timm_model_name": tower,
            "timm_model_pretrained": False,
            "timm_pool": "avg",
            "timm_proj": "linear",
            "image_size": 96,
        },
        "text_cfg": {
            "context_length": CONTEXT_LENGTH,
            "vocab_size": 49408,
            "width": 128,
            "heads": 4,
            "layers": 2,
        },
    }


@dataclass(frozen=True)
class Options:
    """What the command line asked for."""

    data: Path
    out: Path
    tower: str
    minutes: float
    steps: int | None
    batch_size: int
    peak: float
    sizes: tuple[SizeStage, ...]
    workers: int
    seed: int
    weights: Path | None
    teacher: Path | None


def kept_photos(data: Path, name: str, cache: Path) -> NDArray[np.bool_]:
    """Which photos of a training set are no near-duplicate of a held-out one (bool [n])."""
    stored = cache / f"kept-{name}.npy"
    if not stored.exists():
        held = [thumbnails(read_set(data, "val", s, cache).photos) for s in HELD_OUT]
        held.append(thumbnails(album_photos(data)))
        found = near_duplicates(
            thumbnails(read_set(data, "train", name, cache).photos), np.concatenate(held)
        )
        unfinished = stored.with_suffix(".unfinished.npy")
        np.save(unfinished, ~found)
        unfinished.replace(stored)
    return np.asarray(np.load(stored))


def read_sources(data: Path, cache: Path, concepts: Sequence[Concept]) -> list[LabelledPhotos]:
    """All training sets, without near-duplicates of held-out photos, labelled by concept."""
    position = concept_of_label(concepts)
    sources = []
    for name, repeats in REPEATS.items():
        packed = read_set(data, "train", name, cache)
        kept = np.flatnonzero(kept_photos(data, name, cache))
        of_label = np.array([position[f"{name}:{label}"] for label in packed.names])
        # Only the kept photos' numbers are copied; the pixels stay in the mapped file.
        sources.append(LabelledPhotos(packed.photos, of_label[packed.labels], repeats, kept))
        if not dist.is_initialized() or dist.get_rank() == 0:
            removed = len(packed.labels) - len(kept)
            print(f"{name}: {len(kept)} photos, {removed} near-duplicates removed", flush=True)
    return sources


class CaptionTokens:
    """Compact token rows of every training caption, looked up instead of tokenised again."""

    def __init__(self, concepts: Sequence[Concept]) -> None:
        captions = all_captions(concepts) + all_colour_captions(concepts)
        tokenizer = open_clip.SimpleTokenizer(context_length=CONTEXT_LENGTH)
        rows = tokenizer(captions)
        self.tokens = CompactTokens(used_tokens(rows), 49408)
        self._rows = self.tokens.compact(rows)
        self._end = int(self.tokens.compact(torch.tensor([END_TOKEN])))
        self._position = {caption: i for i, caption in enumerate(captions)}
        # Not those of the wordings around the names: "blurry" has taught it nothing.
        self.words = words_of(all_names(concepts) + all_colour_captions(concepts))

    def __call__(self, captions: Sequence[str]) -> Tensor:
        """Token rows [n, longest] of captions that were listed."""
        rows = self._rows[[self._position[caption] for caption in captions]]
        return trimmed(rows, self._end)

    def write_words(self, folder: Path) -> None:
        """Write `vocabulary.txt`, the words that mean something to the model."""
        (folder / "vocabulary.txt").write_text("\n".join(self.words) + "\n", encoding="utf-8")


def read_clip(folder: Path, towers: Architecture) -> open_clip.CLIP:
    """The model that an earlier run exported."""
    clip = open_clip.CLIP(**towers)
    clip.load_state_dict(load_file(folder / "open_clip_model.safetensors"))
    return clip


def read_teacher(
    folder: Path, towers: Architecture, concepts: Sequence[Concept], photographed: NDArray[np.int64]
) -> tuple[Teacher, Tensor, float]:
    """An exported model as teacher, where it places the photographed concepts, by their names:
    [concepts, embed_dim] of length 1, and its logit scale."""
    clip = read_clip(folder, towers).eval()
    tokenizer = open_clip.SimpleTokenizer(context_length=CONTEXT_LENGTH)
    prompts = [zero_shot_prompts(concepts[i]) for i in photographed]
    with torch.no_grad():
        means = [clip.encode_text(tokenizer(p), normalize=True).mean(dim=0) for p in prompts]
        vectors = normalize(torch.stack(means), dim=-1)
        scale = float(clip.logit_scale.exp())
    return Teacher(clip.to(memory_format=torch.channels_last), vectors, scale), vectors, scale


def run_worker(worker: int, options: Options) -> None:
    """One of `workers` equal processes, each on one core with its own share of every batch."""
    torch.set_num_threads(1 if options.workers > 1 else os.cpu_count() or 1)
    torch.manual_seed(options.seed)
    if options.workers > 1:
        meeting = f"file://{options.out.resolve()}/.meeting"
        dist.init_process_group(
            "gloo", init_method=meeting, rank=worker, world_size=options.workers
        )
    concepts = read_concepts(CONCEPTS)
    pool = PhotoPool(read_sources(options.data, options.out.parent / "cache", concepts))
    sampler = TextSampler(concepts, pool.concepts, concept_texts=224, kind_texts=64)
    colours = ColourTexts(concepts, things=40)
    captions = CaptionTokens(concepts)
    towers = architecture(options.tower)
    clip = open_clip.CLIP(**towers)
    if options.weights is not None:
        clip = read_clip(options.weights, towers)
    clip.token_embedding = captions.tokens.shrink(clip.token_embedding)
    prototypes = Prototypes(len(sampler.photographed), towers["embed_dim"])
    teacher = None
    if options.teacher is not None:
        teacher, vectors, scale = read_teacher(
            options.teacher, towers, concepts, sampler.photographed
        )
        prototypes.start_from(vectors, scale)
    learner = Learner(clip, prototypes).to(memory_format=torch.channels_last)
    schedule = Schedule(
        minutes=options.minutes,
        steps=options.steps,
        batch_size=options.batch_size,
        peak=options.peak,
        warmup=0.03,
        weight_decay=0.05,
        grad_clip=1.0,
        average_decay=0.998,
        sizes=options.sizes,
        seed=options.seed,
    )
    optimizer = make_optimizer(learner, schedule.weight_decay)
    average = MovingAverage(learner, schedule.average_decay)
    start: dict[str, int | float] = {"step": 0, "seconds": 0.0}
    if (checkpoint := latest_checkpoint(options.out)) is not None:
        start = load_checkpoint(checkpoint, learner, optimizer, average)
    batches = BatchMaker(pool, sampler, colours, captions, schedule, worker, options.workers)

    def save(report: Report) -> None:
        position: dict[str, int | float] = {
            "step": report.step,
            "seconds": report.progress * 60 * schedule.minutes,
        }
        save_checkpoint(options.out, position, learner, optimizer, average)
        # With the learning rate at zero the last weights are settled; the average still holds
        # some of an earlier photo size, and scored lower.
        exported = learner if report.progress >= 1.0 else average.shadow
        folder, size = options.out / "export", schedule.sizes[-1].size
        export_open_clip(folder, exported.get_submodule("clip"), towers, captions.tokens, size)
        captions.write_words(folder)

    reports = train(learner, teacher, average, optimizer, batches, schedule, start)
    follow(reports, save if worker == 0 else None, options.out / "log.tsv")


def follow(reports: Iterable[Report], save: Callable[[Report], None] | None, log: Path) -> None:
    """Print and log each report, and save every few minutes and at the end (first worker only)."""
    saved = time.monotonic() - CHECKPOINT_SECONDS + 90  # the first one early
    for report in reports:
        if save is None:
            continue
        line = (
            f"step {report.step} {report.progress:.1%} captions {report.captions_loss:.3f} "
            f"concepts {report.concepts_loss:.3f} kinds {report.kinds_loss:.3f} "
            f"mixed {report.mixed_loss:.3f} taught {report.taught_loss:.3f} "
            f"accuracy {report.accuracy:.3f} "
            f"lr {report.learning_rate:.2e} {report.size}px {report.rate:.0f}/s "
            f"{report.photos_seen} seen {report.seconds_left / 60:.0f} min left"
        )
        print(line, flush=True)
        with open(log, "a", encoding="utf-8") as lines:
            lines.write(line + "\n")
        if time.monotonic() - saved > CHECKPOINT_SECONDS or report.progress >= 1.0:
            save(report)
            saved = time.monotonic()


def parse(arguments: Sequence[str]) -> Options:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Train the starter model from scratch.")
    parser.add_argument("--data", type=Path, required=True, help="folder with train-*.npz")
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoints")
    parser.add_argument("--tower", default="resnet10t", help="timm network for photos")
    parser.add_argument("--minutes", type=float, default=100.0, help="length of the run")
    parser.add_argument("--steps", type=int, help="length in steps instead, for a repeatable run")
    parser.add_argument("--batch-size", type=int, default=128, help="photos a step and worker")
    parser.add_argument("--peak", type=float, default=2e-3, help="highest learning rate")
    parser.add_argument(
        "--sizes", default="0.4:48,0.8:64,1:80", help="until which progress, which photo size"
    )
    parser.add_argument("--workers", type=int, default=2, help="processes, one core each")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--weights", type=Path, help="exported model a new run begins with")
    parser.add_argument("--teacher", type=Path, help="exported model to learn from as well")
    given = parser.parse_args(arguments)
    stages = [part.split(":") for part in given.sizes.split(",")]
    return Options(
        given.data,
        given.out,
        given.tower,
        given.minutes,
        given.steps,
        given.batch_size,
        given.peak,
        tuple(SizeStage(float(until), int(size)) for until, size in stages),
        given.workers,
        given.seed,
        given.weights,
        given.teacher,
    )


def main() -> None:
    """Start the workers and wait for them."""
    options = parse(sys.argv[1:])
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / ".meeting").unlink(missing_ok=True)
    # Prepared once before the workers start, so that they find everything in the cache.
    read_sources(options.data, options.out.parent / "cache", read_concepts(CONCEPTS))
    if options.workers == 1:
        run_worker(0, options)
    else:
        spawn(  # type: ignore[no-untyped-call]
            run_worker, args=(options,), nprocs=options.workers
        )


if __name__ == "__main__":
    main()
