"""The rows that `purge` erases: photos missing for long, and what no photo needs any more.

Each changing function belongs inside one transaction.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from clipsearch.storage.connection import Connection
from clipsearch.storage.id_lists import id_list
from clipsearch.storage.records import join_path

# Contents that no photo has, but for those that are about to be erased.
_UNUSED = """NOT EXISTS (SELECT 1 FROM photos p WHERE p.content_id = c.id
    AND p.id NOT IN (SELECT value FROM json_each(?)))"""


@dataclass(frozen=True, slots=True)
class MissingPhoto:
    """A photo whose file was proved to be gone, at `missing_since` (seconds since the epoch)."""

    photo_id: int
    root_id: int
    path: bytes
    missing_since: float


@dataclass(frozen=True, slots=True)
class Erased:
    """How many rows are, or would be, erased. `photos` includes files that had a problem."""

    photos: int = 0
    contents: int = 0
    embeddings: int = 0


def missing_photos(connection: Connection, before: float) -> Iterator[MissingPhoto]:
    """Photos and files with problems that have been missing since before a moment, by row id."""
    for photo_id, root_id, root, folder, name, since in connection.rows(
        """SELECT p.id, r.id, r.path, f.path, p.name, p.missing_since
        FROM photos p JOIN folders f ON f.id = p.folder_id JOIN roots r ON r.id = f.root_id
        WHERE p.missing_since < ? ORDER BY p.id""",
        (before,),
    ):
        yield MissingPhoto(photo_id, root_id, join_path(root, folder, name), since)


def unneeded(connection: Connection, photo_ids: Sequence[int]) -> Erased:
    """What `erase_photos` would erase."""
    ids = id_list(photo_ids)
    return Erased(
        len(photo_ids),
        connection.value(f"SELECT count(*) FROM contents c WHERE {_UNUSED}", (ids,)),
        connection.value(
            f"""SELECT count(*) FROM embeddings e JOIN contents c ON c.id = e.content_id
            WHERE {_UNUSED}""",
            (ids,),
        ),
    )


def erase_photos(connection: Connection, photo_ids: Sequence[int]) -> Erased:
    """Erase photos that are still missing, and all contents and embeddings that no photo has."""
    photos = connection.change(
        "DELETE FROM photos WHERE missing_since IS NOT NULL "
        "AND id IN (SELECT value FROM json_each(?))",
        (id_list(photo_ids),),
    )
    nothing = id_list([])
    embeddings = connection.change(
        f"DELETE FROM embeddings WHERE content_id IN (SELECT id FROM contents c WHERE {_UNUSED})",
        (nothing,),
    )
    contents = connection.change(
        f"DELETE FROM contents WHERE id IN (SELECT id FROM contents c WHERE {_UNUSED})", (nothing,)
    )
    connection.change("DELETE FROM folders WHERE id NOT IN (SELECT folder_id FROM photos)")
    return Erased(photos, contents, embeddings)


def embeddings_by(connection: Connection, model_ids: Iterable[int]) -> Erased:
    """What `erase_models` would erase."""
    counted = connection.value(
        "SELECT count(*) FROM embeddings WHERE model_id IN (SELECT value FROM json_each(?))",
        (id_list(model_ids),),
    )
    return Erased(embeddings=counted)


def erase_models(connection: Connection, model_ids: Sequence[int]) -> Erased:
    """Erase models with their embeddings and what they learned of taught names."""
    ids = id_list(model_ids)
    chosen = "IN (SELECT value FROM json_each(?))"
    embeddings = connection.change(f"DELETE FROM embeddings WHERE model_id {chosen}", (ids,))
    connection.change(f"DELETE FROM concept_classifiers WHERE model_id {chosen}", (ids,))
    connection.change(f"DELETE FROM concept_embeddings WHERE model_id {chosen}", (ids,))
    connection.change(f"DELETE FROM models WHERE id {chosen}", (ids,))
    return Erased(embeddings=embeddings)
