"""The dry run before training: what is wrong with the data, and what remains to learn from."""

import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from clipsearch.errors import StorageError, UsageError
from clipsearch.pairs.checking import PhotoCheck
from clipsearch.percent import percent
from clipsearch.types import CaptionedPhoto

# In the order in which they are reported.
FindingKind = Literal[
    "missing",  # no such file; costs the photo
    "unreadable",  # cannot be read or decoded; costs the photo
    "no words",  # neither caption nor label; costs the photo
    "two labels",  # the same content under two labels; both kept
    "empty caption",  # costs the caption
    "repeated row",  # the same caption of the same photo once more; costs the repetition
    "same content",  # a photo that is there under another name; merged with it
    "long caption",  # longer than the model reads; cut by the tokenizer
]
KINDS: tuple[FindingKind, ...] = (
    "missing",
    "unreadable",
    "no words",
    "two labels",
    "empty caption",
    "repeated row",
    "same content",
    "long caption",
)
_COSTS_PHOTO: frozenset[FindingKind] = frozenset({"missing", "unreadable", "no words"})
_SHOWN = 5
# The largest share of photos, or of captions, that may be bad; the rest is trained on.
MOST_BAD = 0.05


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong: with which photo, and what."""

    kind: FindingKind
    photo: str
    detail: str


@dataclass(frozen=True, slots=True)
class DataReport:
    """What the inspection found among `listed` photos with `captions` captions.

    `photos` and `hashes` (SHA-256 of the content) are what can be used, in order of the list:
    photos of the same content merged, captions without empty and repeated ones. `findings` are
    all, in order of kind and of the list.
    """

    listed: int
    captions: int
    photos: tuple[CaptionedPhoto, ...]
    hashes: tuple[bytes, ...]
    findings: tuple[Finding, ...]

    def count(self, kind: FindingKind) -> int:
        """How many findings of a kind there are."""
        return sum(finding.kind == kind for finding in self.findings)

    def examples(self, kind: FindingKind, most: int = _SHOWN) -> list[Finding]:
        """The first findings of a kind."""
        return [finding for finding in self.findings if finding.kind == kind][:most]

    @property
    def bad_share(self) -> float:
        """The share (0..1) of photos that cannot be used, or of empty captions if that is more."""
        lost = sum(finding.kind in _COSTS_PHOTO for finding in self.findings)
        photos = lost / self.listed if self.listed else 0.0
        captions = self.count("empty caption") / self.captions if self.captions else 0.0
        return max(photos, captions)


def inspect(
    photos: Sequence[CaptionedPhoto],
    checks: Iterable[PhotoCheck],
    too_long: Callable[[Sequence[str]], Sequence[bool]],
) -> DataReport:
    """Look through all photos and their words.

    `checks` are the photos read and decoded, in any order (see `check_photos`); one that is not
    among them counts as unreadable. `too_long` says of captions whether the model's context would
    cut them (`TextEncoder.truncated`).
    """
    by_number = {check.number: check for check in checks}
    findings: list[Finding] = []
    usable: list[tuple[bytes, CaptionedPhoto]] = []
    for number, photo in enumerate(photos):
        cleaned = _clean_captions(photo, findings)
        check = by_number.get(number) or PhotoCheck(number, None, "unreadable", "was not read")
        if check.content_hash is None:
            findings.append(Finding(check.fault or "unreadable", photo.source.name, check.reason))
        elif not cleaned.captions and cleaned.label is None:
            findings.append(Finding("no words", photo.source.name, "neither caption nor label"))
        else:
            usable.append((check.content_hash, cleaned))
    merged = _merge_copies(usable, findings)
    _find_long_captions([photo for _, photo in merged], too_long, findings)
    findings.sort(key=lambda finding: KINDS.index(finding.kind))
    return DataReport(
        listed=len(photos),
        captions=sum(len(photo.captions) for photo in photos),
        photos=tuple(photo for _, photo in merged),
        hashes=tuple(content_hash for content_hash, _ in merged),
        findings=tuple(findings),
    )


def is_too_bad(report: DataReport) -> bool:
    """Whether more than MOST_BAD of the data is bad, or nothing can be used."""
    return report.bad_share > MOST_BAD or not report.photos


def refuse_if_bad(report: DataReport, remedy: str) -> None:
    """Raise UsageError, with what to do next, when the data is too bad (see `is_too_bad`)."""
    if not is_too_bad(report):
        return
    counts = [f"{report.count(kind):,} {kind}" for kind in KINDS if report.count(kind)]
    bad = [f for f in report.findings if f.kind in _COSTS_PHOTO or f.kind == "empty caption"]
    first = "; ".join(f"{finding.photo}: {finding.detail}" for finding in bad[:_SHOWN])
    how_bad = f"{percent(report.bad_share)} is bad, {percent(MOST_BAD, 0)} is the most"
    raise UsageError(
        f"of {report.listed:,} photos too many cannot be used ({', '.join(counts)};"
        f" {how_bad}). The first: {first}",
        remedy,
    )


def name_of_all(report: DataReport) -> str | None:
    """What all photos are said to show, if they are all said to show the same."""
    said: set[str] = set()
    for photo in report.photos:
        said.update(photo.captions or [photo.label or ""])
    return said.pop() if len(said) == 1 and len(report.photos) > 1 else None


def refuse_if_alike(report: DataReport) -> None:
    """Raise UsageError when all photos are said to show the same: nothing can be told apart."""
    if (said := name_of_all(report)) is not None:
        raise UsageError(
            f"all {len(report.photos):,} photos are called {_shown(said)!r}: there is nothing"
            " to tell apart",
            "Give photos of different things, each with words or a folder of its own",
        )


def write_findings(report: DataReport, path: str) -> None:
    """Write all findings as lines of kind, photo and detail between tabs. Raises StorageError."""
    try:
        with open(path, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write("what\tphoto\tdetail\n")
            for finding in report.findings:
                cells = (finding.kind, finding.photo, finding.detail)
                file.write("\t".join(_one_cell(cell) for cell in cells) + "\n")
    except OSError as error:
        raise StorageError(
            f"cannot write {os.fspath(path)}: {error.strerror}", "Free space, or name another place"
        ) from error


def plain_captions(photo: CaptionedPhoto) -> tuple[str, ...]:
    """A photo's captions without the empty and the repeated ones, spaces in one spelling."""
    return _clean_captions(photo, []).captions


def _clean_captions(photo: CaptionedPhoto, findings: list[Finding]) -> CaptionedPhoto:
    """The photo without its empty and repeated captions."""
    kept: dict[str, None] = {}
    for caption in photo.captions:
        plain = " ".join(caption.split())
        if not plain:
            findings.append(Finding("empty caption", photo.source.name, "a caption is empty"))
        elif plain in kept:
            findings.append(Finding("repeated row", photo.source.name, _shown(plain)))
        else:
            kept[plain] = None
    return replace(photo, captions=tuple(kept))


def _merge_copies(
    usable: Sequence[tuple[bytes, CaptionedPhoto]], findings: list[Finding]
) -> list[tuple[bytes, CaptionedPhoto]]:
    """Photos of one content and label become one with the captions of all.

    Otherwise a photo would be taught not to match the captions of its own copy.
    """
    merged: dict[tuple[bytes, str | None], CaptionedPhoto] = {}
    by_content: dict[bytes, str | None] = {}
    for content_hash, photo in usable:
        known = merged.get((content_hash, photo.label))
        if known is None:
            if content_hash in by_content:
                detail = f"{photo.label!r} here, {by_content[content_hash]!r} elsewhere"
                findings.append(Finding("two labels", photo.source.name, detail))
            by_content.setdefault(content_hash, photo.label)
            merged[content_hash, photo.label] = photo
            continue
        findings.append(Finding("same content", photo.source.name, f"as {known.source.name}"))
        captions = tuple(dict.fromkeys((*known.captions, *photo.captions)))
        merged[content_hash, photo.label] = replace(known, captions=captions)
    return [(content_hash, photo) for (content_hash, _), photo in merged.items()]


def _find_long_captions(
    photos: Sequence[CaptionedPhoto],
    too_long: Callable[[Sequence[str]], Sequence[bool]],
    findings: list[Finding],
) -> None:
    owners: dict[str, list[str]] = defaultdict(list)
    for photo in photos:
        for caption in photo.captions:
            owners[caption].append(photo.source.name)
    captions = list(owners)
    for caption, is_long in zip(captions, too_long(captions), strict=True):
        if is_long:
            findings += [Finding("long caption", name, _shown(caption)) for name in owners[caption]]


def _shown(caption: str) -> str:
    return caption if len(caption) <= 80 else caption[:79] + "…"


def _one_cell(text: str) -> str:
    return " ".join(text.split())
