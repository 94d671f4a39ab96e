"""The embeddings in a library equal those of open_clip's own pipeline on the same photos.

The slow, obvious twin: PIL decodes in full, open_clip's transform and towers do the rest.
"""

import io
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from clipsearch.encoders import find_installed, load_bulk_encoder, load_towers
from clipsearch.indexing import index
from clipsearch.library import Library
from clipsearch.storage.layout import data_dir
from clipsearch.types import Floats, ImageEncoder, ModelInfo

pytestmark = pytest.mark.real

TEXTS = ["a dog", "a photo of a motorcycle", "shoes", "A red  apple!", "café", "北京", ""]


@pytest.fixture(scope="module")
def starter(models: Path) -> ModelInfo:
    info = find_installed("starter", models)
    assert info is not None
    return info


def index_folder(folder: Path, directory: Path, model: ModelInfo, tower: ImageEncoder) -> None:
    with Library.open(directory, create=True) as library:
        summary = index(library, model, lambda expected: tower, [os.fsencode(folder)])
    assert summary.complete


def stored(directory: Path) -> dict[Path, Floats]:
    with Library.open(directory) as library:
        ids = library.catalogue.live_contents()
        rows = library.catalogue.photos_of(ids)
        vectors = dict(zip(ids.tolist(), library.vectors_of(ids), strict=True))
        return {
            Path(os.fsdecode(photo.path)): vectors[content]
            for content, photos in rows.items()
            for photo in photos
        }


def open_clip_rows(paths: list[Path]) -> Floats:
    import open_clip
    import torch

    model, transform = open_clip.create_model_from_pretrained(f"local-dir:{data_dir() / 'starter'}")
    model.eval()
    rows = []
    with torch.inference_mode():
        for path in paths:
            with Image.open(path) as photo:
                upright = ImageOps.exif_transpose(photo).convert("RGB")
            rows.append(model.encode_image(transform(upright)[None], normalize=True)[0])
    stacked: Floats = torch.stack(rows).float().numpy()
    return stacked


def compare(vectors: dict[Path, Floats], neighbours: int) -> None:
    paths = sorted(vectors)
    ours = np.stack([vectors[path] for path in paths])
    theirs = open_clip_rows(paths)
    cosines = (ours * theirs).sum(axis=1)
    assert np.median(cosines) >= 0.999
    assert cosines.min() >= 0.99
    assert _overlap(_nearest(ours, neighbours), _nearest(theirs, neighbours)) >= 0.95


def _nearest(rows: Floats, k: int) -> list[set[int]]:
    scores = rows @ rows.T
    np.fill_diagonal(scores, -2)
    return [set(row.tolist()) for row in np.argsort(-scores, axis=1)[:, :k]]


def _overlap(left: list[set[int]], right: list[set[int]]) -> float:
    shared = [len(a & b) / len(a) for a, b in zip(left, right, strict=True)]
    return float(np.mean(shared))


def test_sample_photos(
    sample_photos: Path, models: Path, starter: ModelInfo, tmp_path: Path
) -> None:
    index_folder(sample_photos, tmp_path, starter, load_bulk_encoder(starter, models, 20))
    compare(stored(tmp_path), neighbours=5)


@pytest.mark.shared
def test_album(album: Path, models: Path, starter: ModelInfo, tmp_path: Path) -> None:
    index_folder(album, tmp_path, starter, load_bulk_encoder(starter, models, 300))
    compare(stored(tmp_path), neighbours=10)


def test_texts(models: Path, starter: ModelInfo) -> None:
    import open_clip
    import torch

    source = f"local-dir:{data_dir() / 'starter'}"
    model, _ = open_clip.create_model_from_pretrained(source)
    model.eval()
    with torch.inference_mode():
        tokens = open_clip.get_tokenizer(source)(TEXTS)
        theirs = model.encode_text(tokens, normalize=True).float().numpy()
    ours = load_towers(starter, models).text.encode_text(TEXTS)
    assert (ours * theirs).sum(axis=1).min() >= 0.9999


def rotated_copies(photo: Path) -> Iterator[tuple[int, bytes]]:
    """The photo as a camera held in each of the eight ways would have stored it."""
    undo = {
        1: (),
        2: (Image.Transpose.FLIP_LEFT_RIGHT,),
        3: (Image.Transpose.ROTATE_180,),
        4: (Image.Transpose.FLIP_TOP_BOTTOM,),
        5: (Image.Transpose.TRANSPOSE,),
        6: (Image.Transpose.ROTATE_90,),
        7: (Image.Transpose.TRANSVERSE,),
        8: (Image.Transpose.ROTATE_270,),
    }
    with Image.open(photo) as opened:
        upright = opened.convert("RGB")
    for orientation, steps in undo.items():
        turned = upright
        for step in steps:
            turned = turned.transpose(step)
        exif = Image.Exif()
        exif[0x0112] = orientation
        buffer = io.BytesIO()
        turned.save(buffer, "PNG", exif=exif)
        yield orientation, buffer.getvalue()


def test_the_eight_orientations_give_one_vector(
    sample_photos: Path, models: Path, starter: ModelInfo, tmp_path: Path
) -> None:
    folder = tmp_path / "turned"
    folder.mkdir()
    for orientation, data in rotated_copies(sample_photos / "chelsea.png"):
        (folder / f"{orientation}.png").write_bytes(data)
    index_folder(folder, tmp_path / "library", starter, load_towers(starter, models).image)
    rows = np.stack(list(stored(tmp_path / "library").values()))
    assert len(rows) == 8
    assert (rows @ rows.T).min() >= 0.999
