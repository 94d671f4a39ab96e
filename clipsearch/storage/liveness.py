"""Which contents are found: those with at least one photo that is not missing.

The count is kept beside each content, so that a search learns what died from a small index
instead of asking for every content whether a photo of it is left.
"""

from collections.abc import Iterable

from clipsearch.storage.connection import Connection
from clipsearch.storage.id_lists import to_ids
from clipsearch.types import Ids


def refresh_live(connection: Connection, content_ids: Iterable[int]) -> None:
    """Count the live photos of some contents again. Belongs after every change of photos."""
    connection.change_many(
        "UPDATE contents SET live_photos = (SELECT count(*) FROM photos "
        "WHERE content_id = contents.id AND missing_since IS NULL) WHERE id = ?",
        [(content_id,) for content_id in sorted(set(content_ids))],
    )


def dead_contents(connection: Connection) -> Ids:
    """Contents without a live photo, sorted."""
    return to_ids(connection.rows("SELECT id FROM contents WHERE live_photos = 0 ORDER BY id"))


def live_contents(connection: Connection) -> Ids:
    """Contents with a live photo, sorted."""
    return to_ids(connection.rows("SELECT id FROM contents WHERE live_photos > 0 ORDER BY id"))
