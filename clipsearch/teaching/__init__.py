"""Teach names with photos: `@rex` in a search, a label in classify.

taught = teach(library, towers, "rex", [b"/photos/rex1.jpg", b"/photos/rex2.jpg"])
search(library, towers, parse_query("beach +@rex"))
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

from clipsearch.concepts.known import EncodeText, learn_label_set, learn_one
from clipsearch.concepts.labelling import LearnedLabels
from clipsearch.concepts.learning import Learned
from clipsearch.concepts.names import as_typed, concept_name, unknown_concept
from clipsearch.encoders import Towers
from clipsearch.errors import ModelMismatchError, StorageError, UsageError
from clipsearch.labels import folder_label, meaning_of
from clipsearch.library import Library
from clipsearch.photos.ignore import IgnoreRules
from clipsearch.storage.concepts import Concept, ConceptPhoto, LinearClassifier
from clipsearch.storage.records import storable_text
from clipsearch.teaching.photos import ReadPhotos, Source, existing_folder, subfolders
from clipsearch.types import Floats, PhotoProblem, Progress, no_progress

__all__ = ["Taught", "forget", "taught", "teach", "teach_again", "teach_labels"]

_FEW_EXAMPLES = 3
# Above this share of the library, a concept's photos are not told from others.
_MANY_OTHERS = 0.05
_FEW_FOUND = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class Taught:
    """A concept that was taught, how well it is told from the rest, and what could not be used.

    `found` is for one thing, `labels` for a set of labels; the other is None. `encoded` photos were
    not indexed and went through the image tower.
    """

    concept: Concept
    found: Learned | None
    labels: LearnedLabels | None
    encoded: int
    problems: tuple[PhotoProblem, ...] = ()
    warnings: tuple[str, ...] = ()


def teach(
    library: Library,
    towers: Towers,
    name: str,
    photos: Sequence[bytes],
    *,
    counter: Sequence[bytes] = (),
    words: str | None = None,
    add: bool = False,
    rules: IgnoreRules | None = None,
    progress: Progress = no_progress,
) -> Taught:
    """Learn what `name` looks like from photos, or folders of them, and keep it in the library.

    `counter` are photos of what it is not, `words` say what it is ("a dog"). With `add` the photos
    join those of the concept called so already. What cannot be read is among the `problems`.

    Raises UsageError for a name that cannot be typed, one that is taken (without `add`) or unknown
    (with it), for photos that are not there, when none can be used, and when the library has no
    others; StorageError, ModelMismatchError and LockedError as other writers do.
    """
    name = concept_name(name)
    model_id = _model_of(library, towers)
    before = _before(library, name, add=add)
    source = Source(library, towers, model_id, rules or IgnoreRules(), progress)
    read, against = source.read(photos), source.read(counter)
    given = [ConceptPhoto(h, path) for h, path in read.paths.items()]
    given += [ConceptPhoto(h, path, is_example=False) for h, path in against.paths.items()]
    both = read.paths.keys() & against.paths.keys()
    if both:
        shown = os.fsdecode(read.paths[both.pop()])
        raise UsageError(
            f"{shown} is given as an example and as none", "Leave it out of one of the two"
        )
    if photos and not read.paths:
        raise _nothing_usable(read)
    kept = [] if before is None else list(before.photos)
    fresh = {photo.content_hash for photo in given}
    together = [photo for photo in kept if photo.content_hash not in fresh] + given
    if not any(photo.is_example for photo in together):
        raise UsageError(f"no photos of {name} are given", f"clipsearch teach {name} PHOTO...")
    old = source.kept(photo for photo in together if photo.content_hash not in fresh)
    told = words if words is not None else (before.words if before else None)
    return _learn_and_save(
        library, towers, model_id, before.name if before else name, told, together, read, against,
        old,
    )  # fmt: skip


def teach_labels(
    library: Library,
    towers: Towers,
    name: str,
    folders: Sequence[bytes],
    *,
    rules: IgnoreRules | None = None,
    progress: Progress = no_progress,
) -> Taught:
    """Learn a set of labels: the folders in the one given, or the several given, are the labels.

    Photos at any depth below belong to the label; a content found below two labels is left out.
    Raises as `teach` does, and UsageError for fewer than two folders with usable photos.
    """
    name = concept_name(name)
    model_id = _model_of(library, towers)
    _before(library, name, add=False)
    each = [existing_folder(folder) for folder in folders]
    named = subfolders(each[0]) if len(each) == 1 else each
    source = Source(library, towers, model_id, rules or IgnoreRules(), progress)
    photos: dict[bytes, ConceptPhoto] = {}
    ambiguous: set[bytes] = set()
    label_of: dict[str, str] = {}
    reads = []
    for folder in sorted(named):
        label = storable_text(folder_label(folder))
        label = label_of.setdefault(meaning_of(label), label)
        read = source.read([folder])
        reads.append(read)
        for content_hash, path in read.paths.items():
            if content_hash in photos and photos[content_hash].label != label:
                ambiguous.add(content_hash)
            photos[content_hash] = ConceptPhoto(content_hash, path, label)
    usable = [photo for photo in photos.values() if photo.content_hash not in ambiguous]
    whole = ReadPhotos.together(reads)
    if len({photo.label for photo in usable}) < 2:
        raise UsageError(
            "there are fewer than two folders with photos",
            "Give a folder that has a folder of photos for each label",
        )
    learned, labels = learn_label_set(usable, whole.vectors, _text_of(towers))
    warnings = []
    if ambiguous:
        warnings.append(f"{len(ambiguous)} photos lie below two labels and were left out")
    kept = {photo.content_hash: whole.vectors[photo.content_hash] for photo in usable}
    concept = _save(library, model_id, name, "labels", None, usable, kept, learned)
    return Taught(concept, None, labels, whole.encoded, whole.problems, tuple(warnings))


def teach_again(
    library: Library, towers: Towers, name: str, progress: Progress = no_progress
) -> Taught:
    """Learn a concept again from the same photos, with the library's model and photos of now.

    Photos that this model has not encoded are read where they lay when they were taught; those that
    are gone or changed are left out, and said. Raises as `teach` does.
    """
    model_id = _model_of(library, towers)
    name = name.removeprefix("@")
    concept = library.catalogue.concepts.called(name)
    if concept is None:
        raise unknown_concept(name, library.catalogue.concepts.names().values())
    source = Source(library, towers, model_id, IgnoreRules(), progress)
    read = source.again(concept.photos)
    photos = [photo for photo in concept.photos if photo.content_hash in read.vectors]
    gone = len(concept.photos) - len(photos)
    if not any(photo.is_example for photo in photos):
        raise UsageError(
            f"none of the photos of {as_typed(concept.name)} is where it was",
            f"Give them again: clipsearch teach {as_typed(concept.name)[1:]} --add PHOTO...",
        )
    lost = (f"{gone} of its {len(concept.photos)} photos are gone or changed: left out",)
    warnings = lost if gone else ()
    if concept.kind == "labels":
        learned, labels = learn_label_set(photos, read.vectors, _text_of(towers))
        saved = _save(
            library, model_id, concept.name, "labels", None, photos, read.vectors, learned
        )
        return Taught(saved, None, labels, read.encoded, read.problems, warnings)
    done = _learn_and_save(
        library, towers, model_id, concept.name, concept.words, photos, read, ReadPhotos(), {}
    )
    return replace(done, warnings=(*warnings, *done.warnings))


def taught(library: Library) -> list[Concept]:
    """Everything that was taught, by name."""
    return library.catalogue.concepts.all()


def forget(library: Library, name: str) -> Concept:
    """Erase a concept. Photos, and what the library knows of them, stay.

    Raises UsageError for a name that nothing is called, LockedError and StorageError.
    """
    with library.writer():
        concept = library.catalogue.concepts.called(name.removeprefix("@"))
        if concept is None:
            raise unknown_concept(
                name.removeprefix("@"), library.catalogue.concepts.names().values()
            )
        library.catalogue.concepts.forget(concept.name)
    return concept


def _model_of(library: Library, towers: Towers) -> int:
    model, model_id = library.model, library.catalogue.active_model_id()
    if model is None or model_id is None:
        raise StorageError(
            f"the library {library.directory} has no photos yet", "Run: clipsearch index FOLDER"
        )
    if model.fingerprint != towers.info.fingerprint:
        raise ModelMismatchError(
            f"the library was made with {model.name}, not {towers.info.name}", f"Use {model.name}"
        )
    return model_id


def _text_of(towers: Towers) -> EncodeText:
    """The text tower, opened only when it is asked: three photos without words need none."""
    return lambda texts: towers.text.encode_text(texts)


def _before(library: Library, name: str, *, add: bool) -> Concept | None:
    """The concept that photos are added to. Raises UsageError when the name does not fit."""
    before = library.catalogue.concepts.called(name)
    if add and before is None:
        raise unknown_concept(name, library.catalogue.concepts.names().values())
    if add and before is not None and before.kind == "labels":
        raise UsageError(
            f"{as_typed(before.name)} is a set of labels",
            f"Forget it and teach it again: clipsearch teach --forget {as_typed(before.name)[1:]}",
        )
    if not add and before is not None:
        typed = as_typed(before.name)[1:]
        anew = f"egin anew after: clipsearch teach --forget {typed}"
        raise UsageError(
            f"{as_typed(before.name)} was taught already",
            f"B{anew}"
            if before.kind == "labels"
            else f"Add photos: clipsearch teach {typed} --add PHOTO...; or b{anew}",
        )
    return before


def _learn_and_save(
    library: Library,
    towers: Towers,
    model_id: int,
    name: str,
    words: str | None,
    photos: Sequence[ConceptPhoto],
    read: ReadPhotos,
    against: ReadPhotos,
    kept: dict[bytes, Floats],
) -> Taught:
    vectors = {**kept, **read.vectors, **against.vectors}
    usable = [photo for photo in photos if photo.content_hash in vectors]
    lost = len(photos) - len(usable)
    learned, found = learn_one(
        library.catalogue, model_id, usable, vectors, words, _text_of(towers)
    )
    warnings = [
        f"{lost} photos it was taught with before have no embedding by this model: they wait for "
        f"clipsearch teach {as_typed(name)[1:]}"
    ] if lost else []  # fmt: skip
    if words is not None and (unknown := towers.text.unknown_words(words)):
        shown = ", ".join(f'"{word[:40]}"' for word in unknown[:10])
        warnings.append(f"the model {towers.info.name} was never shown {shown}: it helps little")
    warnings += _doubts(found, sum(photo.is_example for photo in usable))
    concept = _save(library, model_id, name, "one", words, photos, vectors, learned)
    return Taught(
        concept,
        found,
        None,
        read.encoded + against.encoded,
        (*read.problems, *against.problems),
        tuple(warnings),
    )


def _doubts(found: Learned, examples: int) -> list[str]:
    """What a person should know before believing it."""
    doubts = []
    if examples < _FEW_EXAMPLES:
        doubts.append(f"{examples} of 3 to 20 photos: expect mistakes, and add more with --add")
    if found.others > _MANY_OTHERS or found.own < _FEW_FOUND:
        doubts.append(
            f"it is hardly told from the rest: {found.others:.0%} of the library looks as much "
            "like it; add photos, show what it is not with --not, or say what it is with --is"
        )
    return doubts


def _save(
    library: Library,
    model_id: int,
    name: str,
    kind: str,
    words: str | None,
    photos: Sequence[ConceptPhoto],
    vectors: dict[bytes, Floats],
    learned: Sequence[LinearClassifier],
) -> Concept:
    with library.writer():
        library.catalogue.concepts.save(
            name,
            "labels" if kind == "labels" else "one",
            words,
            photos,
            model_id,
            vectors,
            learned,
        )
        concept = library.catalogue.concepts.called(name)
    assert concept is not None  # it was just saved, under the lock
    return concept


def _nothing_usable(read: ReadPhotos) -> UsageError:
    if not read.problems:
        return UsageError("there are no photos to learn from", "Name photos, or a folder of them")
    first = read.problems[0]
    return UsageError(
        f"{os.fsdecode(first.path)} cannot be an example: {first.reason}", "Give photos"
    )
