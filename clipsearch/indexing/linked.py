"""Roots that are links by now: the folder was moved, to a larger disk say, and a link left there.

Its photos are scanned where they really are, as those of another root or of a part of one. The rows
under the link are the same files a second time, and no scan would ever look after them again.
"""

import os
from collections.abc import Iterator

from clipsearch.indexing.roots import known_root
from clipsearch.indexing.scan import Scope
from clipsearch.storage.catalogue import Catalogue
from clipsearch.storage.records import Root


def linked_roots(catalogue: Catalogue) -> Iterator[tuple[Root, Scope]]:
    """Roots that are reached through a link, each with where it really is in another root."""
    for root in catalogue.roots():
        place = os.path.realpath(root.path)
        if place != root.path and os.path.isdir(place):
            real, start = known_root(catalogue, place)
            if real is not None:
                yield root, Scope(real, start)


def rows_twice(catalogue: Catalogue, root: Root, real: Scope, model_id: int) -> dict[int, int]:
    """The rows of a linked root whose photos have rows where they really are: these are the values.

    A row of which that place holds another content stays: it may be known nowhere else.
    """
    twice = {}
    for folder in catalogue.folders(root.root_id):
        there = b"/".join(part for part in (real.start, folder) if part)
        found = catalogue.photos_in_folder(real.root.root_id, there, model_id)
        for name, row in catalogue.photos_in_folder(root.root_id, folder, model_id).items():
            twin = found.get(name)
            if twin is not None and not twin.missing and row.content_id in (twin.content_id, None):
                twice[row.photo_id] = twin.photo_id
    return twice
