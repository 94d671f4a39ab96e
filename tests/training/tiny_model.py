"""A CLIP model small enough to train in a test, and photos and concepts to train it on."""

from collections.abc import Sequence

import numpy as np
import open_clip
import torch
from torch import Tensor

from clipsearch.training.averaging import MovingAverage
from clipsearch.training.batches import LabelledPhotos, PhotoPool, TextSampler
from clipsearch.training.captions import all_captions
from clipsearch.training.colours import ColourTexts, all_colour_captions
from clipsearch.training.concepts import Concept, Name
from clipsearch.training.export import Architecture
from clipsearch.training.loop import BatchMaker, Learner, Schedule, make_optimizer
from clipsearch.training.prototypes import Prototypes
from clipsearch.training.schedule import SizeStage
from clipsearch.training.vocabulary import CompactTokens, trimmed, used_tokens

ARCHITECTURE: Architecture = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 16, "patch_size": 8, "width": 32, "layers": 1, "head_width": 16},
    "text_cfg": {
        "context_length": 12, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1
    },
}  # fmt: skip
CONCEPTS = [
    Concept("colour", (Name("colour", True),), (), ()),
    Concept("red", (Name("red", False),), ("colour",), ()),
    Concept("blue", (Name("blue", False),), ("colour",), ()),
]


def tokens_of(captions: Sequence[str]) -> Tensor:
    return torch.as_tensor(open_clip.SimpleTokenizer(context_length=12)(list(captions)))


CAPTIONS = all_captions(CONCEPTS) + all_colour_captions(CONCEPTS)
COMPACT = CompactTokens(used_tokens(tokens_of(CAPTIONS)), 49408)


def tokenize(captions: Sequence[str]) -> Tensor:
    return trimmed(COMPACT.compact(tokens_of(captions)), len(COMPACT.used) - 1)


def red_and_blue(count: int) -> PhotoPool:
    photos = np.zeros((count, 16, 16, 3), dtype=np.uint8)
    concepts = np.arange(count) % 2 + 1
    photos[concepts == 1, :, :, 0] = 220
    photos[concepts == 2, :, :, 2] = 220
    return PhotoPool([LabelledPhotos(photos, concepts, 1.0, np.arange(count))])


class TinyRun:
    """Everything `train` needs, from one seed."""

    def __init__(self, steps: int) -> None:
        torch.manual_seed(0)
        clip = open_clip.CLIP(**ARCHITECTURE)
        clip.token_embedding = COMPACT.shrink(clip.token_embedding)
        self.learner = Learner(clip, Prototypes(2, ARCHITECTURE["embed_dim"]))
        self.schedule = Schedule(
            minutes=1.0,
            steps=steps,
            batch_size=8,
            peak=3e-3,
            warmup=0.1,
            weight_decay=0.05,
            grad_clip=1.0,
            average_decay=0.9,
            sizes=(SizeStage(1.0, 16),),
            seed=3,
        )
        self.optimizer = make_optimizer(self.learner, self.schedule.weight_decay)
        self.average = MovingAverage(self.learner, self.schedule.average_decay)
        pool = red_and_blue(64)
        sampler = TextSampler(CONCEPTS, pool.concepts, concept_texts=2, kind_texts=1)
        colours = ColourTexts(CONCEPTS, things=2)
        self.batches = BatchMaker(pool, sampler, colours, tokenize, self.schedule, 0, 1)
