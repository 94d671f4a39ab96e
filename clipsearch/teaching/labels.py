"""Teaching a set of labels: a folder of photos for each."""

from collections.abc import Sequence

from clipsearch.concepts.known import learn_label_set
from clipsearch.concepts.names import concept_name
from clipsearch.encoders import Towers
from clipsearch.errors import UsageError
from clipsearch.labels import folder_label, meaning_of
from clipsearch.library import Library
from clipsearch.photos.ignore import IgnoreRules
from clipsearch.storage.concepts import ConceptPhoto
from clipsearch.teaching.keeping import Taught, concept_before, model_of, save, text_of
from clipsearch.teaching.photos import ReadPhotos, Source, existing_folder, subfolders
from clipsearch.types import Progress, no_progress


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
    model_id = model_of(library, towers)
    concept_before(library, name, add=False)
    each = [existing_folder(folder) for folder in folders]
    named = subfolders(each[0]) if len(each) == 1 else each
    source = Source(library, towers, model_id, rules or IgnoreRules(), progress)
    photos: dict[bytes, ConceptPhoto] = {}
    ambiguous: set[bytes] = set()
    label_of: dict[str, str] = {}
    reads = []
    for folder in sorted(named):
        label = folder_label(folder)
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
    learned, labels = learn_label_set(usable, whole.vectors, text_of(towers))
    warnings = []
    if ambiguous:
        warnings.append(f"{len(ambiguous)} photos lie below two labels and were left out")
    kept = {photo.content_hash: whole.vectors[photo.content_hash] for photo in usable}
    with library.writer():
        # Asked again: another process may have taught the name while photos were read here.
        concept_before(library, name, add=False)
        concept = save(library, model_id, name, "labels", None, usable, kept, learned)
    return Taught(concept, None, labels, whole.encoded, whole.problems, tuple(warnings))
