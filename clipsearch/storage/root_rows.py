"""Roots and the folders under them."""

import os
import time

from clipsearch.storage.connection import Connection
from clipsearch.storage.decoding import decodes
from clipsearch.storage.folder_paths import between, is_in, joined
from clipsearch.storage.id_lists import id_list
from clipsearch.storage.liveness import refresh_live
from clipsearch.storage.records import Root, to_signed, to_unsigned

_COLUMNS = "id, path, device, inode, added_at, scanned_at"


@decodes
def roots(connection: Connection) -> list[Root]:
    """All roots, in the order they came."""
    return [_root(*row) for row in connection.rows(f"SELECT {_COLUMNS} FROM roots ORDER BY id")]


def add_root(connection: Connection, path: bytes, device: int, inode: int) -> Root:
    """A root by path, which is added when it is new."""
    connection.change(
        "INSERT INTO roots (path, device, inode, added_at) VALUES (?, ?, ?, ?) "
        "ON CONFLICT (path) DO NOTHING",
        (path, to_signed(device), to_signed(inode), time.time()),
    )
    found = connection.row(f"SELECT {_COLUMNS} FROM roots WHERE path = ?", (path,))
    assert found is not None
    return _root(*found)


def folder_id(connection: Connection, root_id: int, path: bytes) -> int:
    """The id of a folder, which is added when it is new."""
    found = connection.value(
        "SELECT id FROM folders WHERE root_id = ? AND path = ?", (root_id, path)
    )
    if found is not None:
        return int(found)
    return connection.insert("INSERT INTO folders (root_id, path) VALUES (?, ?)", (root_id, path))


@decodes
def folders(connection: Connection, root_id: int, under: bytes) -> set[bytes]:
    """Folders of a root that have photo rows: `under` and everything inside it."""
    found = {
        b"" + path  # not bytes(): a number would be taken for a length
        for (path,) in connection.rows(
            "SELECT path FROM folders f WHERE root_id = ? "
            "AND EXISTS (SELECT 1 FROM photos p WHERE p.folder_id = f.id)",
            (root_id,),
        )
    }
    return {path for path in found if is_in(path, under)}


def merge_root(connection: Connection, inner: Root, outer: Root) -> None:
    """Give the rows of `inner`, which lies inside `outer`, to `outer`. No path changes."""
    prefix = between(outer.path, inner.path)
    for old_id, path in connection.rows(
        "SELECT id, path FROM folders WHERE root_id = ?", (inner.root_id,)
    ):
        new_id = folder_id(connection, outer.root_id, joined(prefix, path))
        # Where both roots have a row for the same file, that of the outer one stays.
        connection.change(
            "UPDATE OR IGNORE photos SET folder_id = ? WHERE folder_id = ?", (new_id, old_id)
        )
        _delete_folder(connection, old_id)
    connection.change("DELETE FROM roots WHERE id = ?", (inner.root_id,))


def merge_nested_roots(connection: Connection) -> None:
    """Give the rows of every root that lies inside another to the outer one."""
    for inner in sorted(roots(connection), key=_by_depth, reverse=True):
        outer = [
            root
            for root in roots(connection)
            if root != inner and inner.path.startswith(os.path.join(root.path, b""))
        ]
        if outer:
            merge_root(connection, inner, max(outer, key=_by_depth))


def forget_root(connection: Connection, root: Root) -> tuple[int, int]:
    """Erase a root: its photos, and the contents and embeddings that no other photo has.

    The number of photo rows and of embeddings that are gone.
    """
    inside = "SELECT id FROM folders WHERE root_id = ?"
    contents = [
        row[0]
        for row in connection.rows(
            f"SELECT DISTINCT content_id FROM photos WHERE folder_id IN ({inside}) "
            "AND content_id IS NOT NULL",
            (root.root_id,),
        )
    ]
    photos = connection.change(f"DELETE FROM photos WHERE folder_id IN ({inside})", (root.root_id,))
    connection.change("DELETE FROM folders WHERE root_id = ?", (root.root_id,))
    connection.change("DELETE FROM roots WHERE id = ?", (root.root_id,))
    orphans = id_list(
        row[0]
        for row in connection.rows(
            "SELECT value FROM json_each(?) WHERE NOT EXISTS "
            "(SELECT 1 FROM photos WHERE content_id = value)",
            (id_list(contents),),
        )
    )
    chosen = "IN (SELECT value FROM json_each(?))"
    erased = connection.change(f"DELETE FROM embeddings WHERE content_id {chosen}", (orphans,))
    connection.change(f"DELETE FROM contents WHERE id {chosen}", (orphans,))
    refresh_live(connection, contents)
    return photos, erased


def _delete_folder(connection: Connection, folder: int) -> None:
    contents = [
        row[0]
        for row in connection.rows(
            "SELECT content_id FROM photos WHERE folder_id = ? AND content_id IS NOT NULL",
            (folder,),
        )
    ]
    connection.change("DELETE FROM photos WHERE folder_id = ?", (folder,))
    connection.change("DELETE FROM folders WHERE id = ?", (folder,))
    refresh_live(connection, contents)


def _by_depth(root: Root) -> int:
    return len(root.path)


def _root(
    root_id: int, path: bytes, device: int, inode: int, added_at: float, scanned_at: float | None
) -> Root:
    if not isinstance(path, bytes) or not os.path.isabs(path):
        raise ValueError("a root that is no absolute path")
    return Root(root_id, path, to_unsigned(device), to_unsigned(inode), added_at, scanned_at)
