"""Teaching once more, from the same photos."""

from dataclasses import replace

from clipsearch.concepts.known import learn_label_set
from clipsearch.concepts.names import as_typed, unknown_concept
from clipsearch.encoders import Towers
from clipsearch.errors import UsageError
from clipsearch.library import Library
from clipsearch.photos.ignore import IgnoreRules
from clipsearch.teaching.keeping import Taught, model_of, save, text_of
from clipsearch.teaching.photos import Source
from clipsearch.teaching.things import learn_and_save
from clipsearch.types import Progress, no_progress


def teach_again(
    library: Library, towers: Towers, name: str, progress: Progress = no_progress
) -> Taught:
    """Learn a concept again from the same photos, with the library's model and photos of now.

    Photos that this model has not encoded are read where they lay when they were taught; those that
    are gone or changed are left out, and said. Raises as `teach` does.
    """
    # Photos are read under the lock too: what others add meanwhile would be lost.
    with library.writer():
        return _again(library, towers, name.removeprefix("@"), progress)


def _again(library: Library, towers: Towers, name: str, progress: Progress) -> Taught:
    model_id = model_of(library, towers)
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
    warnings = []
    if gone:
        warnings.append(f"{gone} of its {len(concept.photos)} photos are gone or changed: left out")
    if concept.kind == "labels":
        learned, labels = learn_label_set(photos, read.vectors, text_of(towers))
        saved = save(library, model_id, concept.name, "labels", None, photos, read.vectors, learned)
        return Taught(saved, None, labels, read.encoded, read.problems, tuple(warnings))
    done = learn_and_save(library, towers, concept.name, concept.words, photos, read.vectors)
    return replace(
        done,
        encoded=read.encoded,
        problems=read.problems,
        warnings=(*warnings, *done.warnings),
    )
