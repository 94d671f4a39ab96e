"""The rows that `purge` erases: photos missing for long, and what no photo needs any more."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from clipsearch.storage.connection import Connection
from clipsearch.storage.history import History
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


class Erasing:
    """What can be erased from one open catalogue. Raises as `Catalogue` does."""

    def __init__(self, connection: Connection, history: History) -> None:
        self._db = connection
        self._history = history

    def missing_photos(self, before: float) -> Iterator[MissingPhoto]:
        """Photos and files with problems that have been missing since before a moment, by row id.

        The moment is in seconds since the epoch.
        """
        for photo_id, root_id, root, folder, name, since in self._db.rows(
            """SELECT p.id, r.id, r.path, f.path, p.name, p.missing_since
            FROM photos p JOIN folders f ON f.id = p.folder_id JOIN roots r ON r.id = f.root_id
            WHERE p.missing_since < ? ORDER BY p.id""",
            (before,),
        ):
            yield MissingPhoto(photo_id, root_id, join_path(root, folder, name), since)

    def unneeded(self, photo_ids: Sequence[int]) -> Erased:
        """What `erase_missing` would erase."""
        ids = id_list(photo_ids)
        with self._db.reading():
            return Erased(
                len(photo_ids),
                self._db.value(f"SELECT count(*) FROM contents c WHERE {_UNUSED}", (ids,)),
                self._db.value(
                    f"""SELECT count(*) FROM embeddings e JOIN contents c ON c.id = e.content_id
                    WHERE {_UNUSED}""",
                    (ids,),
                ),
            )

    def erase_missing(self, photo_ids: Sequence[int]) -> Erased:
        """Erase photos that are still missing, and contents and embeddings that no photo has."""
        nothing = id_list([])
        unused = f"IN (SELECT id FROM contents c WHERE {_UNUSED})"
        with self._history.change():
            self._history.record_erasure()
            photos = self._db.change(
                "DELETE FROM photos WHERE missing_since IS NOT NULL "
                "AND id IN (SELECT value FROM json_each(?))",
                (id_list(photo_ids),),
            )
            embeddings = self._db.change(
                f"DELETE FROM embeddings WHERE content_id {unused}", (nothing,)
            )
            contents = self._db.change(f"DELETE FROM contents WHERE id {unused}", (nothing,))
            self._db.change("DELETE FROM folders WHERE id NOT IN (SELECT folder_id FROM photos)")
            return Erased(photos, contents, embeddings)

    def embeddings_by(self, model_ids: Sequence[int]) -> Erased:
        """What `erase_models` would erase."""
        counted = self._db.value(
            "SELECT count(*) FROM embeddings WHERE model_id IN (SELECT value FROM json_each(?))",
            (id_list(model_ids),),
        )
        return Erased(embeddings=counted)

    def erase_models(self, model_ids: Sequence[int]) -> Erased:
        """Erase models that do not answer, their embeddings and what they learned of names."""
        ids = id_list(model_ids)
        chosen = "IN (SELECT value FROM json_each(?))"
        with self._history.change():
            self._history.record_erasure()
            embeddings = self._db.change(f"DELETE FROM embeddings WHERE model_id {chosen}", (ids,))
            self._db.change(f"DELETE FROM concept_classifiers WHERE model_id {chosen}", (ids,))
            self._db.change(f"DELETE FROM concept_embeddings WHERE model_id {chosen}", (ids,))
            self._db.change(f"DELETE FROM models WHERE id {chosen}", (ids,))
            return Erased(embeddings=embeddings)

    def give_space_back(self) -> None:
        """Make the file as small as its content; for a moment both need room on the disk."""
        self._db.compact()
