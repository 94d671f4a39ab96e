"""Which contents have a photo that passes a filter: all of them listed, or some asked about."""

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from clipsearch.storage import liveness
from clipsearch.storage.connection import Connection
from clipsearch.storage.decoding import decodes, decoding
from clipsearch.storage.filters import conditions, conditions_but_folders, folder_passes
from clipsearch.storage.id_lists import are_among, distinct, id_list, to_ids
from clipsearch.types import Ids, PhotoFilter

# Asking about one content takes as long as listing so many.
_LISTED_MEANWHILE = 8


class Passing:
    """The contents that pass one filter, in one generation of a catalogue.

    What is read is kept. Being asked about some costs less than listing all; asked again and again,
    it lists them once, when by then that would have cost no more.
    """

    def __init__(self, connection: Connection, wanted: PhotoFilter) -> None:
        self.listed: Ids | None = None
        self._wanted = wanted
        self._db = connection
        self._folders: dict[int, bool] = {}
        self._asked = self._passed = 0

    def contents(self) -> Ids:
        """All of them, sorted: from then on they are `listed`."""
        if self.listed is None:
            self.listed = live_contents(self._db, self._wanted)
        return self.listed

    def which(self, content_ids: Ids) -> NDArray[np.bool_]:
        """For each of some contents, whether it is one of them."""
        if self.listed is None and self._listing_pays():
            self.contents()
        if self.listed is not None:
            return are_among(content_ids, self.listed)
        passing = self._passing(content_ids)
        self._asked += len(content_ids)
        self._passed += len(passing)
        return np.array([content_id in passing for content_id in content_ids.tolist()], np.bool_)

    def _passing(self, content_ids: Ids) -> set[int]:
        """Those of some contents that pass."""
        where, parameters = conditions_but_folders(self._wanted)
        with decoding(self._db):
            rows = self._db.rows(
                f"""SELECT p.content_id, p.folder_id FROM photos p {_contents(where)}
                WHERE p.content_id IN (SELECT value FROM json_each(?)) AND {where}""",
                (id_list(content_ids), *parameters),
            )
            self._look_at({folder_id for _, folder_id in rows} - self._folders.keys())
        return {content_id for content_id, folder_id in rows if self._folders.get(folder_id)}

    def _look_at(self, folder_ids: set[int]) -> None:
        """Find out whether these folders pass."""
        if not folder_ids:
            return
        passes = folder_passes(self._wanted)
        for folder_id, root, path in self._db.rows(
            """SELECT f.id, r.path, f.path FROM folders f JOIN roots r ON r.id = f.root_id
            WHERE f.id IN (SELECT value FROM json_each(?))""",
            (id_list(folder_ids),),
        ):
            self._folders[folder_id] = passes(root, path)

    def _listing_pays(self) -> bool:
        """Whether asking has cost as much by now as listing would have, as far as is known."""
        if not self._asked:
            return False
        read = float(self._most)
        if not _contents(conditions_but_folders(self._wanted)[0]):
            # Only the folders that pass are read.
            read *= self._passed / self._asked
        return self._asked * _LISTED_MEANWHILE >= read

    @cached_property
    def _most(self) -> int:
        """So many contents there are at most."""
        return self._db.value("SELECT max(id) FROM contents") or 0


@decodes
def live_contents(connection: Connection, wanted: PhotoFilter | None) -> Ids:
    """Contents with a live photo that passes the filter, sorted."""
    if wanted is None or wanted == PhotoFilter():
        return liveness.live_contents(connection)
    where, parameters = conditions(connection, wanted)
    rows = connection.rows(
        f"SELECT p.content_id FROM photos p {_contents(where)} WHERE {where}", parameters
    )
    return distinct(to_ids(rows))


def _contents(where: str) -> str:
    """The join that a condition needs: one on folders alone reads no contents at all."""
    return "JOIN contents c ON c.id = p.content_id" if "c." in where else ""
