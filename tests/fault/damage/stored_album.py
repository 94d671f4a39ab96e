"""A small library on real photos, and its files as they were before anything was damaged."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from clipsearch.encoders import load_towers
from clipsearch.encoders.fake import FAKE
from clipsearch.library import Library
from clipsearch.query import parse_query
from clipsearch.searching import search
from tests.indexing.album import Album, Colour

PHOTOS: dict[str, Colour] = {
    f"{i % 5}/{i:03}.png": (i * 2 % 256, 255 - i, i * 37 % 256) for i in range(120)
}
QUERIES = ("red", "a photo of the sea", "blue and green")
Pairs = dict[bytes, bytes]
Answers = dict[str, list[tuple[bytes, float]]]


@dataclass(frozen=True)
class Kept:
    """The album with the bytes of its library's files."""

    album: Album
    files: dict[str, bytes]

    @property
    def catalogue(self) -> Path:
        return self.album.library / "catalogue.sqlite"

    def restore(self) -> None:
        """The library's directory as it was."""
        shutil.rmtree(self.album.library)
        self.album.library.mkdir()
        for name, data in self.files.items():
            (self.album.library / name).write_bytes(data)

    def pairs(self) -> Pairs:
        """Each photo's path with its vector, as a search would pair them."""
        with Library.open(self.album.library) as library:
            return pairs_in(library)

    def answers(self, top_k: int = 10) -> Answers:
        """The best photos with their scores for each of QUERIES."""
        with Library.open(self.album.library) as library:
            towers = load_towers(FAKE, self.album.library)
            found = {
                query: search(library, towers, parse_query(query), top_k=top_k).results
                for query in QUERIES
            }
        return {
            query: [(result.path, result.score or 0.0) for result in results]
            for query, results in found.items()
        }


def keep(album: Album) -> Kept:
    """Index an album's photos and remember the library."""
    for name, colour in PHOTOS.items():
        album.add(name, colour)
    album.index()
    with Library.open(album.library) as library:
        library.rebuild_snapshot()
    return Kept(album, {path.name: path.read_bytes() for path in album.library.iterdir()})


def pairs_in(library: Library) -> Pairs:
    """Each live photo's path with its vector."""
    catalogue = library.catalogue
    model_id = catalogue.active_model_id()
    found: Pairs = {}
    if model_id is None:
        return found
    for block in catalogue.embeddings(model_id):
        photos = catalogue.photos_of(block.content_ids)
        for content_id, vector in zip(block.content_ids.tolist(), block.vectors, strict=True):
            for row in photos.get(content_id, []):
                found[row.path] = vector.tobytes()
    return found
