"""Lists of ids as one SQL parameter: `IN (SELECT value FROM json_each(?))`."""

import json
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from clipsearch.types import Ids


def id_list(ids: Iterable[int]) -> str:
    """Ids as the parameter of json_each: any number of them, in one parameter."""
    return json.dumps([int(i) for i in ids])


def distinct(ids: Ids) -> Ids:
    """Ids sorted, each once. `np.unique` would first spend 10 ms on importing numpy.ma."""
    ids = np.sort(ids)
    first = np.ones(len(ids), dtype=np.bool_)
    np.not_equal(ids[1:], ids[:-1], out=first[1:])
    return ids[first]


def are_among(ids: Ids, known: Ids) -> NDArray[np.bool_]:
    """Which ids are among the known ones, which are sorted."""
    if not len(known):
        return np.zeros(len(ids), np.bool_)
    places = np.minimum(np.searchsorted(known, ids), len(known) - 1)
    return np.asarray(known[places] == ids)


def to_ids(rows: list[tuple[int]]) -> Ids:
    """The first column of rows as an int64 array."""
    return np.fromiter((row[0] for row in rows), dtype=np.int64, count=len(rows))
