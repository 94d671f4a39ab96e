"""Measure an open_clip folder on the held-out sets and on the album.

    python recipes/evaluate_starter.py --model data/starter --data ../shared/data

Zero-shot top-1 and top-5 on each val-* set over that set's own names; zero-shot top-1 on the
album's three folders; precision of the first 10 results for everyday words; on val-tiny that of
colours, and of coloured things beside the same things without a colour.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import open_clip
import torch
from numpy.typing import NDArray
from photo_sets import read_set
from PIL import Image

from clipsearch.training.captions import with_article, zero_shot_prompts
from clipsearch.training.colours import COLOURS, colour_truth
from clipsearch.training.concepts import (
    BROADER,
    SAME,
    Concept,
    Name,
    concept_of_label,
    read_concepts,
    relations,
)

CONCEPTS = Path(__file__).parent.parent / "data" / "labels" / "concepts.tsv"
SETS = ("tiny", "mini", "caltech", "scenes", "grocery", "clothing")
# Everyday words, and the concepts whose photos (with everything that is a kind of them) are right.
ALBUM_QUERIES: dict[str, tuple[str, ...]] = {
    "shoes": ("shoe",),
    "dress": ("dress",),
    "pants": ("trousers",),
    "t-shirt": ("t-shirt", "undershirt", "polo"),
    "clothes": ("clothes",),
    "fruit": ("fruit",),
    "vegetables": ("vegetable",),
    "apple": ("apple",),
    "banana": ("banana",),
    "food": ("food",),
    "milk": ("milk", "oat milk", "soy milk"),
    "juice": ("juice",),
    "drink": ("drink", "dairy"),
    "animal": ("animal",),
    "dog": ("dog",),
    "bird": ("bird",),
    "cat": ("cat", "big cat"),
    "flower": ("flower",),
    "face": ("person",),
    "a person": ("person",),
    "airplane": ("airplane",),
    "motorbike": ("motorbike",),
    "car": ("car",),
    "boat": ("boat",),
    "guitar": ("guitar", "mandolin"),
    "musical instrument": ("musical instrument",),
    "chair": ("chair",),
    "watch": ("watch",),
}
HELD_OUT_QUERIES: dict[str, dict[str, tuple[str, ...]]] = {
    "scenes": {
        "mountain": ("mountain", "glacier"),
        "sea": ("sea",),
        "street": ("street",),
        "forest": ("forest",),
        "snow": ("glacier",),
        "city": ("street", "building"),
    },
    "tiny": {
        "dog": ("dog",),
        "cat": ("cat",),
        "car": ("car",),
        "bird": ("bird",),
        "bottle": ("bottle",),
        "insect": ("insect",),
        "fruit": ("fruit",),
        "beach": ("beach",),
        "bridge": ("bridge",),
        "food": ("food",),
        "ball": ("ball",),
        "train": ("train",),
    },
}
# Things that are seen in several colours, for queries such as "a red car".
COLOURED = ("car", "dog", "bird", "fruit", "vegetable", "insect", "clothes", "bottle", "furniture")
# Which set's labels name the photos of each part of the album.
ALBUM_PARTS = {"objects": "caltech", "groceries": "grocery", "clothes": "clothing"}
# The album's folders that hold several products; the others carry a label's own name.
ALBUM_FOLDERS = {
    "Apple": "apple", "Juice": "juice", "Melon": "melon", "Milk": "milk", "Oat-Milk": "oat milk",
    "Pepper": "bell pepper", "Potato": "potato", "Sour-Cream": "sour cream",
    "Sour-Milk": "sour milk", "Soy-Milk": "soy milk", "Soyghurt": "soyghurt", "Tomato": "tomato",
    "Yoghurt": "yoghurt",
}  # fmt: skip


class Model:
    """An open_clip folder, its preprocessing and its tokenizer."""

    def __init__(self, folder: Path) -> None:
        name = f"local-dir:{folder}"
        self.clip, self.preprocess = open_clip.create_model_from_pretrained(name)
        self.clip.eval()
        self.tokenize = open_clip.get_tokenizer(name)

    @torch.no_grad()
    def encode_photos(self, photos: Sequence[Image.Image]) -> NDArray[np.float32]:
        """Unit embeddings [n, embed_dim]."""
        parts = []
        for start in range(0, len(photos), 100):
            batch = torch.stack([self.preprocess(p) for p in photos[start : start + 100]])
            parts.append(self.clip.encode_image(batch, normalize=True).numpy())
        return np.concatenate(parts)

    @torch.no_grad()
    def encode_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Unit embeddings [n, embed_dim]."""
        return np.asarray(self.clip.encode_text(self.tokenize(list(texts)), normalize=True))

    def encode_classes(self, concepts: Sequence[Concept]) -> NDArray[np.float32]:
        """The unit mean of each concept's prompts [n, embed_dim]."""
        means = np.stack([self.encode_texts(zero_shot_prompts(c)).mean(axis=0) for c in concepts])
        return np.asarray(means / np.linalg.norm(means, axis=1, keepdims=True))


def zero_shot(
    photos: NDArray[np.float32], classes: NDArray[np.float32], truth: NDArray[np.int64]
) -> tuple[float, float]:
    """(top-1, top-5) in percent; `photos` [n, d], `classes` [m, d], `truth` [n] in 0..m-1."""
    order = np.argsort(-(photos @ classes.T), axis=1)[:, :5]
    hits = order == truth[:, None]
    return 100 * float(hits[:, 0].mean()), 100 * float(hits.any(axis=1).mean())


class Judge:
    """Which photos are right for a word: those of a concept, or of anything that is its kind."""

    def __init__(self) -> None:
        self.concepts = read_concepts(CONCEPTS)
        self.of_label = concept_of_label(self.concepts)
        self.position = {c.concept_id: i for i, c in enumerate(self.concepts)}
        self._relations = relations(self.concepts)

    def is_right(
        self, photo_concepts: NDArray[np.int64], wanted: Sequence[str]
    ) -> NDArray[np.bool_]:
        """[n] bool for photos of the given concepts."""
        columns = self._relations[photo_concepts][:, [self.position[w] for w in wanted]]
        return np.asarray(((columns == SAME) | (columns == BROADER)).any(axis=1))


@dataclass(frozen=True)
class AlbumPhoto:
    """One photo of the album: its part, what it shows, and what its folder says (positions)."""

    path: Path
    part: str
    concept: int
    folder: int


def read_album(data: Path, judge: Judge) -> list[AlbumPhoto]:
    """The album's photos in path order."""
    photos = []
    for path in sorted((data / "album").rglob("*.jpg")):
        part, folder, *_ = path.relative_to(data / "album").parts
        label = path.parent.name.replace("-", " ") if part == "groceries" else path.parent.name
        concept = judge.of_label[f"{ALBUM_PARTS[part]}:{label}"]
        named = ALBUM_FOLDERS.get(folder)
        photos.append(AlbumPhoto(path, part, concept, judge.position[named] if named else concept))
    return photos


def precision_at_10(
    model: Model,
    photos: NDArray[np.float32],
    photo_concepts: NDArray[np.int64],
    queries: dict[str, tuple[str, ...]],
    judge: Judge,
) -> list[tuple[str, float, int]]:
    """(query, P@k in percent, right photos there are); k is 10, or fewer when fewer are right."""
    rows = []
    for query, wanted in queries.items():
        right = judge.is_right(photo_concepts, wanted)
        if right.any():
            k = min(10, int(right.sum()))
            scores = photos @ model.encode_texts([query])[0]
            found = right[np.argsort(-scores)[:k]]  # [k]
            rows.append((query, 100 * float(found.mean()), int(right.sum())))
    return rows


def show_colours(
    model: Model,
    pixels: NDArray[np.uint8],
    photos: NDArray[np.float32],
    photo_concepts: NDArray[np.int64],
    judge: Judge,
) -> None:
    """Precision for colours as the pixels [n, h, w, 3] have them, alone and with things.

    Photos of which a colour is hard to tell are left out of its query.
    """
    truth = colour_truth(torch.from_numpy(pixels.copy()).permute(0, 3, 1, 2).float() / 255)

    def precision(query: str, right: NDArray[np.bool_], known: NDArray[np.bool_]) -> float:
        scores = photos[known] @ model.encode_texts([query])[0]
        k = min(10, int(right.sum()))
        return 100 * float(right[known][np.argsort(-scores)[:k]].mean())

    for colour, name in enumerate(COLOURS):
        right, known = truth[:, colour] == 1, truth[:, colour] >= 0
        found = precision(with_article(Name(f"{name} photo", True)), right, known)
        print(f"  {name!r}: P@10 {found:.0f}, among all {100 * right.sum() / known.sum():.0f}")
    with_colour, without = [], []
    for thing in (t for t in COLOURED if t in judge.position):
        shown = judge.is_right(photo_concepts, [thing])
        for colour, name in enumerate(COLOURS[:-1]):
            right = shown & (truth[:, colour] == 1)
            known = ~shown | (truth[:, colour] >= 0)
            if right.sum() >= 5:
                with_colour.append(precision(f"{name} {thing}", right, known))
                without.append(precision(thing, right, known))
    print(
        f"  {len(without)} coloured things: P@10 {np.mean(with_colour):.0f}, "
        f"asked without the colour {np.mean(without):.0f}"
    )


def main() -> None:
    """Print all scores."""
    parser = argparse.ArgumentParser(description="Measure a CLIP model on held-out photos.")
    parser.add_argument("--model", type=Path, required=True, help="open_clip folder")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--cache", type=Path, default=Path("runs/cache"))
    given = parser.parse_args()
    model, judge = Model(given.model), Judge()
    for name in given.sets.split(","):
        held_out = read_set(given.data, "val", name, given.cache)
        photos = model.encode_photos([Image.fromarray(p) for p in held_out.photos])
        concepts = np.array([judge.of_label[f"{name}:{label}"] for label in held_out.names])
        # Labels merged into one concept (a cougar's face and body) are one class here.
        distinct = np.unique(concepts)
        classes = model.encode_classes([judge.concepts[c] for c in distinct])
        truth = np.searchsorted(distinct, concepts[held_out.labels])
        top1, top5 = zero_shot(photos, classes, truth)
        print(f"val-{name}: top-1 {top1:.1f} top-5 {top5:.1f} ({len(distinct)} names)", flush=True)
        queries = HELD_OUT_QUERIES.get(name, {})
        for query, precision, count in precision_at_10(
            model, photos, concepts[held_out.labels], queries, judge
        ):
            print(f"  val-{name} {query!r}: P@10 {precision:.0f} of {count}")
        if name == "tiny":
            show_colours(model, held_out.photos, photos, concepts[held_out.labels], judge)
    album = read_album(given.data, judge)
    photos = model.encode_photos([Image.open(photo.path).convert("RGB") for photo in album])
    for part in ALBUM_PARTS:
        chosen = [i for i, photo in enumerate(album) if photo.part == part]
        folders = np.array([album[i].folder for i in chosen])
        distinct = np.unique(folders)
        classes = model.encode_classes([judge.concepts[c] for c in distinct])
        top1, top5 = zero_shot(photos[chosen], classes, np.searchsorted(distinct, folders))
        print(f"album/{part}: top-1 {top1:.1f} top-5 {top5:.1f} ({len(distinct)} names)")
    shown = np.array([photo.concept for photo in album])
    rows = precision_at_10(model, photos, shown, ALBUM_QUERIES, judge)
    for query, precision, count in rows:
        print(f"  album {query!r}: P@10 {precision:.0f} of {count}")
    print(f"album mean P@10 {np.mean([p for _, p, _ in rows]):.1f} over {len(rows)} queries")


if __name__ == "__main__":
    main()
