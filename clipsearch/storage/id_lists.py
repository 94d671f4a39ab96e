"""Lists of ids as one SQL parameter: `IN (SELECT value FROM json_each(?))`."""

import json
from collections.abc import Iterable

import numpy as np

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


def to_ids(rows: list[tuple[int]]) -> Ids:
    """The first column of rows as an int64 array."""
    return np.fromiter((row[0] for row in rows), dtype=np.int64, count=len(rows))
