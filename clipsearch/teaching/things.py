"""Teaching one thing: told from the library's other photos."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace

from clipsearch.concepts.known import learn_one
from clipsearch.concepts.learning import Learned
from clipsearch.concepts.names import as_typed, concept_name
from clipsearch.encoders import Towers
from clipsearch.errors import UsageError
from clipsearch.library import Library
from clipsearch.percent import percent
from clipsearch.photos.ignore import IgnoreRules
from clipsearch.storage.concepts import ConceptPhoto
from clipsearch.teaching.keeping import Taught, concept_before, model_of, save, text_of
from clipsearch.teaching.photos import ReadPhotos, Source
from clipsearch.types import Floats, Progress, no_progress

_FEW_EXAMPLES = 3
# Above this share of the library, a concept's photos are not told from others.
_MANY_OTHERS = 0.05
_FEW_FOUND = 0.5


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
    model_id = model_of(library, towers)
    concept_before(library, name, add=add)  # a slip is said before photos are read
    source = Source(library, towers, model_id, rules or IgnoreRules(), progress)
    read, against = source.read(photos), source.read(counter)
    given = _given(read, against)
    if photos and not read.paths:
        raise _nothing_usable(read)
    with library.writer():
        # Asked again: another process may have taught the name while photos were read here.
        before = concept_before(library, name, add=add)
        kept = [] if before is None else list(before.photos)
        fresh = {photo.content_hash for photo in given}
        together = [photo for photo in kept if photo.content_hash not in fresh] + given
        if not any(photo.is_example for photo in together):
            raise UsageError(f"no photos of {name} are given", f"clipsearch teach {name} PHOTO...")
        old = source.kept(photo for photo in together if photo.content_hash not in fresh)
        done = learn_and_save(
            library,
            towers,
            before.name if before else name,
            words if words is not None else (before.words if before else None),
            together,
            {**old, **read.vectors, **against.vectors},
        )
    return replace(
        done,
        encoded=read.encoded + against.encoded,
        problems=(*read.problems, *against.problems),
    )


def _given(read: ReadPhotos, against: ReadPhotos) -> list[ConceptPhoto]:
    """Examples and counter-examples. Raises UsageError for a photo that is said to be both."""
    both = read.paths.keys() & against.paths.keys()
    if both:
        shown = os.fsdecode(read.paths[both.pop()])
        raise UsageError(
            f"{shown} is given as an example and as none", "Leave it out of one of the two"
        )
    examples = [ConceptPhoto(h, path) for h, path in read.paths.items()]
    others = [ConceptPhoto(h, path, is_example=False) for h, path in against.paths.items()]
    return examples + others


def learn_and_save(
    library: Library,
    towers: Towers,
    name: str,
    words: str | None,
    photos: Sequence[ConceptPhoto],
    vectors: Mapping[bytes, Floats],
) -> Taught:
    """Learn one thing from those of `photos` that have a vector, and keep it with all of them.

    Raises UsageError when the library has no other photos, and as `save` does.
    """
    model_id = model_of(library, towers)
    usable = [photo for photo in photos if photo.content_hash in vectors]
    lost = len(photos) - len(usable)
    learned, found = learn_one(library.catalogue, model_id, usable, vectors, words, text_of(towers))
    warnings = [
        f"{lost} photos it was taught with before have no embedding by this model: they wait for "
        f"clipsearch teach {as_typed(name)[1:]}"
    ] if lost else []  # fmt: skip
    if words is not None and (unknown := towers.text.unknown_words(words)):
        shown = ", ".join(f'"{word[:40]}"' for word in unknown[:10])
        warnings.append(f"the model {towers.info.name} was never shown {shown}: it helps little")
    warnings += _doubts(found, sum(photo.is_example for photo in usable))
    concept = save(library, model_id, name, "one", words, photos, vectors, learned)
    return Taught(concept, found, None, encoded=0, warnings=tuple(warnings))


def _doubts(found: Learned, examples: int) -> list[str]:
    """What a person should know before believing it."""
    doubts = []
    if examples < _FEW_EXAMPLES:
        doubts.append(f"{examples} of 3 to 20 photos: expect mistakes, and add more with --add")
    if found.others > _MANY_OTHERS or found.own < _FEW_FOUND:
        alike = percent(found.others, 0)
        doubts.append(
            f"it is hardly told from the rest: {alike} of the library looks as much "
            "like it; add photos, show what it is not with --not, or say what it is with --is"
        )
    return doubts


def _nothing_usable(read: ReadPhotos) -> UsageError:
    if not read.problems:
        return UsageError("there are no photos to learn from", "Name photos, or a folder of them")
    first = read.problems[0]
    return UsageError(
        f"{os.fsdecode(first.path)} cannot be an example: {first.reason}", "Give photos"
    )
