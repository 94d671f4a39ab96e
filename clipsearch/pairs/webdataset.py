"""WebDataset archives: tar files in which a photo and its words have the same name.

`s0001.jpg` and `s0001.txt` (captions, one a line), `s0001.json` (an object with a caption) or
`s0001.cls` (the number of a class) are one sample. The photos stay in the archives: each is read
where it is. Also the folders in which CLIP_benchmark publishes its data sets this way: see
https://github.com/LAION-AI/CLIP_benchmark, webdataset_builder.py.
"""

import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from clipsearch.errors import UsageError
from clipsearch.pairs.lines import caption_lines, open_text, text_lines
from clipsearch.pairs.sources import PHOTO_ENDINGS, NoSource, TarSource
from clipsearch.pairs.tar_members import TarMember, tar_members
from clipsearch.types import CaptionedPhoto, PhotoSource

CLASS_NAMES = "classnames.txt"
TEMPLATES = "zeroshot_classification_templates.txt"

_TEXT_ENDINGS = ("txt", "json", "cls")
_MAX_TEXT_BYTES = 1_000_000
_CAPTION_KEYS = ("caption", "captions", "text")


@dataclass(frozen=True, slots=True)
class StandardSet:
    """A data set in CLIP_benchmark's layout.

    `class_names` in the order of their numbers and `templates`, with `{}` where the name goes, are
    empty for a set of captions. `classes` has the number of each photo's class, or None: names
    need not be different, numbers are.
    """

    photos: tuple[CaptionedPhoto, ...]
    classes: tuple[int | None, ...]
    class_names: tuple[str, ...]
    templates: tuple[str, ...]


@dataclass(slots=True)
class _Sample:
    photo: TarMember | None = None
    texts: dict[str, TarMember] = field(default_factory=dict)


def read_archives(
    archives: Sequence[str], class_names: Sequence[str] = ()
) -> tuple[list[CaptionedPhoto], list[int | None]]:
    """(the photos of all archives, the number of each one's class or None).

    A sample's class number is its label, by name where `class_names` has it. A sample without a
    photo is kept as one that is missing. Raises UsageError for damaged archives and texts.
    """
    photos: list[CaptionedPhoto] = []
    classes: list[int | None] = []
    for archive in archives:
        path = os.path.abspath(archive)
        for key, sample in _samples(path).items():
            captions, label = _words(path, sample.texts)
            number = int(label) if label is not None and re.fullmatch("[0-9]{1,9}", label) else None
            if number is not None and class_names:
                if number >= len(class_names):
                    raise UsageError(
                        f"{path}!{key}.cls: there is no class {number}",
                        f"{CLASS_NAMES} has {len(class_names)} lines",
                    )
                label = class_names[number]
            photos.append(CaptionedPhoto(_source(path, key, sample.photo), captions, label))
            classes.append(number)
    if not photos:
        raise UsageError(f"no photos in {', '.join(archives[:3])}", "Is this a WebDataset?")
    return photos, classes


def read_standard_set(folder: str, split: str | None = None) -> StandardSet:
    """The data set in a folder with `classnames.txt` and folders of archives, one for each split.

    `folder` may also be that of a split. Without `split` it is `test` where there is one, or the
    only one. Raises UsageError when that leaves a choice, or nothing.
    """
    folder = os.path.abspath(folder)
    if archives_in(folder):
        top, part = os.path.dirname(folder), folder
    else:
        top, part = folder, os.path.join(folder, _split_of(folder, split))
    names = _listed(os.path.join(top, CLASS_NAMES))
    templates = [line.replace("{c}", "{}") for line in _listed(os.path.join(top, TEMPLATES))]
    photos, classes = read_archives(archives_in(part), names)
    return StandardSet(tuple(photos), tuple(classes), tuple(names), tuple(templates))


def is_standard_set(folder: str) -> bool:
    """Whether a folder is laid out as CLIP_benchmark does, or is a split of one that is."""
    folder = os.path.abspath(folder)
    if archives_in(folder):
        return os.path.isfile(os.path.join(os.path.dirname(folder), CLASS_NAMES))
    return bool(_splits(folder))


def archives_in(folder: str) -> list[str]:
    """The tar files directly in a folder; `2.tar` comes before `10.tar`."""
    names = [name for name in _names_in(folder) if name.lower().endswith(".tar")]
    return [os.path.join(folder, name) for name in sorted(names, key=_by_number)]


def _split_of(folder: str, wanted: str | None) -> str:
    splits = _splits(folder)
    found = ", ".join(splits) or "none"
    if wanted is not None and wanted not in splits:
        raise UsageError(f"{folder} has no split {wanted!r}", f"There are: {found}")
    if wanted is None and "test" not in splits and len(splits) != 1:
        raise UsageError(f"which split of {folder}?", f"Name one of: {found}")
    return wanted or ("test" if "test" in splits else splits[0])


def _splits(folder: str) -> list[str]:
    return [name for name in _names_in(folder) if archives_in(os.path.join(folder, name))]


def _names_in(folder: str) -> list[str]:
    if not os.path.isdir(folder):
        return []
    try:
        return sorted(os.listdir(folder))
    except OSError as error:
        raise UsageError(f"cannot list {folder}: {error.strerror}", "Make it readable") from error


def _by_number(name: str) -> tuple[list[tuple[int, str]], str]:
    return [(int(digits or -1), other) for digits, other in re.findall(r"(\d+)|(\D+)", name)], name


def _samples(archive: str) -> dict[str, _Sample]:
    """Samples by key: a member's path up to the first dot of its last part."""
    samples: dict[str, _Sample] = {}
    for member in tar_members(archive):
        folder, _, base = member.name.rpartition("/")
        stem, _, ending = base.partition(".")
        ending = ending.lower()
        if not stem or (f".{ending}" not in PHOTO_ENDINGS and ending not in _TEXT_ENDINGS):
            continue
        key = f"{folder}/{stem}" if folder else stem
        sample = samples.setdefault(key, _Sample())
        if ending in _TEXT_ENDINGS:
            twice = sample.texts.setdefault(ending, member) is not member
        else:
            twice = sample.photo is not None
            sample.photo = sample.photo or member
        if twice:
            raise UsageError(f"{archive} has {member.name} twice", "Give every sample its own name")
    return samples


def _source(archive: str, key: str, photo: TarMember | None) -> PhotoSource:
    if photo is None:
        return NoSource(f"{archive}!{key}")
    return TarSource(os.fsencode(archive), photo.name, photo.offset, photo.size)


def _words(archive: str, texts: dict[str, TarMember]) -> tuple[tuple[str, ...], str | None]:
    """(captions, label) of a sample."""
    read = {ending: _text(archive, member) for ending, member in texts.items()}
    captions = caption_lines(read["txt"]) if "txt" in read else ()
    if not captions and "json" in read:
        captions = _json_captions(read["json"], f"{archive}!{texts['json'].name}")
    return captions, read.get("cls", "").strip() or None


def _text(archive: str, member: TarMember) -> str:
    where = f"{archive}!{member.name}"
    if member.size > _MAX_TEXT_BYTES:
        raise UsageError(f"{where}: over 1 MB long", "Is this a caption?")
    try:
        data = TarSource(os.fsencode(archive), member.name, member.offset, member.size).read()
        text = data.decode("utf-8-sig")
    except OSError as error:
        raise UsageError(f"cannot read {where}: {error.strerror}", "Check the archive") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{where}: not UTF-8 text", "Write the captions as UTF-8") from error
    if "\0" in text:
        raise UsageError(f"{where}: holds a NUL byte", "Write the captions as UTF-8")
    return text


def _json_captions(text: str, where: str) -> tuple[str, ...]:
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{where}: not JSON", "Write an object with a caption") from error
    found = [fields[key] for key in _CAPTION_KEYS if key in fields] if type(fields) is dict else []
    listed = found[0] if found and isinstance(found[0], list) else found[:1]
    captions = (caption.strip() for caption in listed if isinstance(caption, str))
    return tuple(caption for caption in captions if caption)


def _listed(path: str) -> list[str]:
    """The lines of a list, none when there is no such file; an empty line in it keeps its place."""
    if not os.path.isfile(path):
        return []
    with open_text(path) as file:
        lines = [line.strip() for line in text_lines(file, os.path.basename(path))]
    while lines and not lines[-1]:
        lines.pop()
    return lines
