"""The starter's last step: fit the projection of photos and the text tower to a finished trunk.

    python recipes/polish.py --model runs/seventh/export --data ../shared/data --out runs/polished

Takes about a quarter of an hour. What it does and why is in clipsearch/training/polishing.py.
"""

import argparse
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import open_clip
import torch
from captioned import caption_words, read_captioned
from numpy.typing import NDArray
from starter import CONCEPTS, CaptionTokens, architecture, read_clip, read_sources
from torch import Tensor
from torch.nn.functional import interpolate
from torch.nn.functional import normalize as to_unit_length

from clipsearch.concepts.learning import Background, learn
from clipsearch.training.augment import augment, normalise
from clipsearch.training.batches import LabelledPhotos, TextSampler
from clipsearch.training.captions import ANYTHING
from clipsearch.training.colours import ColourTexts, colour_truth
from clipsearch.training.concepts import Concept, read_concepts
from clipsearch.training.export import export_open_clip
from clipsearch.training.polishing import (
    Places,
    Sayings,
    SeenPhotos,
    fit_neutral,
    fit_projection,
    settle_texts,
    teach_texts,
)

SIZE = 80
CROPS = 2
_BLOCK = 256


def seen_photos(clip: open_clip.CLIP, sources: Sequence[LabelledPhotos]) -> SeenPhotos:
    """Every photo of the sources in each of its `views`."""
    features, colours, concepts, repeats = [], [], [], []
    for source in sources:
        for numbers in np.array_split(source.kept, len(source.kept) // _BLOCK + 1):
            for pixels in views(source, numbers):
                features.append(see(clip, pixels))
                colours.append(colour_truth(pixels))
                concepts.append(source.concepts[numbers])
                repeats.append(np.full(len(numbers), source.repeats))
        print(f"{sum(len(block) for block in features)} views encoded", flush=True)
    shares = np.concatenate(repeats)
    return SeenPhotos(
        torch.cat(features),
        np.concatenate(concepts),
        np.concatenate(colours),
        shares / shares.sum(),
    )


def views(source: LabelledPhotos, numbers: NDArray[np.int64]) -> Iterator[Tensor]:
    """The photos of these numbers as pixels [n, 3, SIZE, SIZE] in 0..1: whole, as mirror images,
    and cropped as in training CROPS times."""
    photos = source.photos[numbers]
    whole = torch.from_numpy(photos).permute(0, 3, 1, 2).float().div_(255)
    whole = interpolate(whole, (SIZE, SIZE), mode="bilinear", antialias=True)
    yield whole
    yield whole.flip(3)
    for epoch in range(CROPS):
        yield augment(list(photos), SIZE, seed=0, epoch=epoch, indices=numbers)


def see(clip: open_clip.CLIP, pixels: Tensor) -> Tensor:
    """What the trunk makes of pixels [n, 3, SIZE, SIZE] in 0..1: float32 [n, width]."""
    trunk = clip.visual.trunk.eval().to(memory_format=torch.channels_last)
    images = normalise(pixels).contiguous(memory_format=torch.channels_last)
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        features: Tensor = trunk(images).float()
    return features


def places_of_caption_words(
    clip: open_clip.CLIP, data: Path, concepts: Sequence[Concept]
) -> Places:
    """Where the concepts lie that are named by words of captions alone: learned as
    `clipsearch teach` would, from the photos of which people said so and the others."""
    captioned, _ = read_captioned(data)
    pixels = torch.from_numpy(captioned.pixels(SIZE)).permute(0, 3, 1, 2).float() / 255
    projection = clip.visual.head.proj.weight.detach()
    photos = to_unit_length(see(clip, pixels) @ projection.T, dim=-1).numpy()  # [n, embed_dim]
    named = [i for i, concept in enumerate(concepts) if caption_words(concept)]
    examples = [photos[captioned.said(caption_words(concepts[i])) == 1] for i in named]
    learned = [learn(some, Background(photos)).weights for some in examples]
    return Places(np.array(named), to_unit_length(torch.from_numpy(np.stack(learned)), dim=-1))


def main() -> None:
    """Read a finished model, write a better one."""
    parser = argparse.ArgumentParser(description="Fit both projections and the text tower anew.")
    parser.add_argument("--model", type=Path, required=True, help="folder recipes/starter.py wrote")
    parser.add_argument(
        "--data", type=Path, required=True, help="folder with train-*.npz and captioned/"
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--tower", default="resnet10t")
    parser.add_argument(
        "--steps", type=int, default=800, help="of fitting photos, of teaching texts"
    )
    parser.add_argument("--settle", type=int, default=1500, help="steps of the last one")
    # Held-out labels were most likely between 15 and 21, and near 42 for the fifth edition.
    parser.add_argument("--scale", type=float, default=20.0, help="exported logit scale, 1..100")
    given = parser.parse_args()
    torch.manual_seed(0)
    concepts = [*read_concepts(CONCEPTS), ANYTHING]
    captions = CaptionTokens(concepts)
    towers = architecture(given.tower)
    clip = read_clip(given.model, towers)
    clip.token_embedding = captions.tokens.shrink(clip.token_embedding)
    photos = seen_photos(clip, read_sources(given.data, given.out.parent / "cache", concepts))
    sampler = TextSampler(concepts, photos.concepts, concept_texts=300, kind_texts=64)
    projection = clip.visual.head.proj.weight
    prototypes = fit_projection(projection, photos, sampler, given.steps)
    labelled = Places(sampler.photographed, prototypes.unit().detach())
    neutral = fit_neutral(labelled, photos, projection.detach(), sampler, given.steps // 2)
    places = labelled.and_others(places_of_caption_words(clip, given.data, concepts)).and_others(
        Places(np.array([concepts.index(ANYTHING)]), neutral[None])
    )
    sayings = Sayings(concepts, sampler, ColourTexts(concepts, things=40), captions)
    teach_texts(clip, places, sayings, given.steps)
    clip.logit_scale.data.copy_(prototypes.logit_scale)
    settle_texts(clip, places, photos, sayings, given.settle)
    clip.logit_scale.data.fill_(math.log(given.scale))
    export_open_clip(given.out, clip, towers, captions.tokens, SIZE)
    captions.write_words(given.out)


if __name__ == "__main__":
    main()
