"""Folders and roots whose rows are lost, found again in the indexes of a damaged catalogue.

An index repeats some columns of every row. Which table an entry belongs to is not said there, but
a photo's checksum covers its absolute path: a place is believed when it makes a checksum fit.
"""

from collections import defaultdict

from clipsearch.storage import row_rules
from clipsearch.storage.connection import Connection
from clipsearch.storage.pages import Pages, Value


class LostPlaces:
    """Where photos may lie whose folder is lost. `connection` is the new catalogue."""

    def __init__(self, connection: Connection, pages: Pages) -> None:
        self._db = connection
        self._folders: defaultdict[int, set[tuple[int, bytes]]] = defaultdict(set)
        self._roots: defaultdict[int, set[bytes]] = defaultdict(set)
        for entry in pages.index_entries():
            match entry:
                case (int(root_id), bytes(folder), int(folder_id)):
                    self._folders[folder_id].add((root_id, folder))
                case (bytes(root), int(root_id)) if row_rules.root_fault(root) is None:
                    self._roots[root_id].add(root)
        for folder_id, root_id, folder in connection.rows("SELECT id, root_id, path FROM folders"):
            self._folders[folder_id] = {(root_id, folder)}
        for root_id, root in connection.rows("SELECT id, path FROM roots"):
            self._roots[root_id] = {root}

    def find(
        self, folder_id: int, name: Value, content_hash: Value, checksum: Value
    ) -> tuple[bytes, bytes] | None:
        """The root's and the folder's path by which a photo's checksum fits; both are written.

        None when there are none.
        """
        for root_id, folder in sorted(self._folders[folder_id]):
            for root in sorted(self._roots[root_id]):
                fault = row_rules.fault_by(
                    row_rules.photo_fault, root, folder, name, content_hash, checksum
                )
                if fault is None and row_rules.folder_fault(folder) is None:
                    self._write(root_id, root, folder_id, folder)
                    return root, folder
        return None

    def _write(self, root_id: int, root: bytes, folder_id: int, folder: bytes) -> None:
        self._db.change(
            "INSERT OR IGNORE INTO roots (id, path, device, inode, added_at) "
            "VALUES (?, ?, 0, 0, 0)",
            (root_id, root),
        )
        # By its path: an old entry of an index may know a root under an id that it had before.
        self._db.change(
            "INSERT OR IGNORE INTO folders (id, root_id, path) "
            "SELECT ?, id, ? FROM roots WHERE path = ?",
            (folder_id, folder, root),
        )
