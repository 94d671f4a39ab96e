"""Which photos are learned from and which are kept for judging, decided by their content."""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence

from clipsearch.errors import UsageError
from clipsearch.types import CaptionedPhoto


def split(
    photos: Sequence[CaptionedPhoto],
    hashes: Sequence[bytes],
    shares: Sequence[float],
    seed: int,
    alike: Iterable[tuple[int, int]] = (),
) -> list[list[int]]:
    """The numbers of the photos in each part, in order of the list.

    `hashes` [n] are the photos' content hashes: photos of the same content are in the same part,
    whatever they are called, and so are those of each pair in `alike` (near-duplicates, by
    number). `shares` are the parts' sizes, in any unit. Every label is spread over the parts by
    these shares. The result depends on the contents, their labels and the seed, not on names or
    order. Raises UsageError when there are not enough different photos for every part.
    """
    first: dict[bytes, int] = {}
    same = [(first.setdefault(content, i), i) for i, content in enumerate(hashes)]
    groups = groups_of(len(hashes), (*same, *alike))
    placed = sorted((_place(group, photos, hashes, seed), group) for group in groups)
    by_label: dict[str, list[tuple[bytes, list[int]]]] = defaultdict(list)
    for (label, key), group in placed:
        by_label[label].append((key, group))
    # Position within the label first: a part of the whole is then the same part of every label.
    spread = [
        ((i + 0.5) / len(of_label), key, group)
        for of_label in by_label.values()
        for i, (key, group) in enumerate(of_label)
    ]
    ordered = [group for _, _, group in sorted(spread)]
    wanted = [share for share in shares if share > 0]
    if len(ordered) < len(wanted):
        few = "1 photo" if len(ordered) == 1 else f"{len(ordered)} different photos"
        raise UsageError(
            f"{few} cannot be split into {len(wanted)} parts",
            "Add photos: some hundred are what training takes",
        )
    return _cut(ordered, shares)


def data_fingerprint(photos: Sequence[CaptionedPhoto], hashes: Sequence[bytes]) -> str:
    """A SHA-256 (hex) over contents, captions and labels in their order, without any path.

    A run is resumed with the data that has the fingerprint it was begun with.
    """
    total = hashlib.sha256()
    for photo, content_hash in zip(photos, hashes, strict=True):
        said = [photo.label or "", *photo.captions]
        lengths = [len(content_hash), *(len(_bytes(text)) for text in said)]
        total.update(repr((photo.label is None, lengths)).encode())
        total.update(content_hash)
        for text in said:
            total.update(_bytes(text))
    return total.hexdigest()


def groups_of(count: int, together: Iterable[tuple[int, int]]) -> list[list[int]]:
    """The numbers 0..count-1 in groups that hang together by pairs (connected components)."""
    parent = list(range(count))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    for a, b in together:
        low, high = sorted((root(a), root(b)))
        parent[high] = low
    groups: dict[int, list[int]] = defaultdict(list)
    for i in range(count):
        groups[root(i)].append(i)
    return list(groups.values())


def _place(
    group: list[int], photos: Sequence[CaptionedPhoto], hashes: Sequence[bytes], seed: int
) -> tuple[str, bytes]:
    """(label, sorting key) of a group: its least content's, mixed with the seed."""
    keys = [
        (hashlib.sha256(f"{seed} ".encode() + hashes[i]).digest(), photos[i].label or "")
        for i in group
    ]
    key, label = min(keys)
    return label, key


def _cut(ordered: list[list[int]], shares: Sequence[float]) -> list[list[int]]:
    """Hand groups out so that part k has its share of all photos; none wanted stays empty."""
    total = sum(len(group) for group in ordered)
    parts: list[list[int]] = [[] for _ in shares]
    wanted = [k for k, share in enumerate(shares) if share > 0]
    ends, reached = {}, 0.0
    for k in wanted:
        reached += shares[k]
        ends[k] = round(total * reached / sum(shares))
    given, place = 0, 0
    for number, group in enumerate(ordered):
        left = len(ordered) - number
        later = len(wanted) - 1 - place
        full = given >= ends[wanted[place]] or left <= later
        if later and parts[wanted[place]] and full:
            place += 1
        parts[wanted[place]] += group
        given += len(group)
    return [sorted(part) for part in parts]


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
