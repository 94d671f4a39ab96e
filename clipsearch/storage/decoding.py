"""Rows of a damaged file: their columns may be of any type, and none may be missed or be there.

SQLite checked the types when it wrote the rows, and does not when it reads them.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar

from clipsearch.storage.connection import Connection
from clipsearch.storage.faults import damaged

_Parameters = ParamSpec("_Parameters")
_Read = TypeVar("_Read")

_UNREADABLE = (TypeError, ValueError, AttributeError, IndexError, KeyError, OverflowError)


@contextmanager
def decoding(connection: Connection) -> Iterator[None]:
    """Take what cannot be made of rows inside for the damage that it is. Raises DamageError."""
    try:
        yield
    except _UNREADABLE as error:
        raise damaged(connection.path, "a row does not hold what it should") from error


def decodes(
    read: Callable[Concatenate[Connection, _Parameters], _Read],
) -> Callable[Concatenate[Connection, _Parameters], _Read]:
    """A function that reads rows of a connection, all of it `decoding`."""

    @wraps(read)
    def reading(
        connection: Connection, /, *given: _Parameters.args, **named: _Parameters.kwargs
    ) -> _Read:
        with decoding(connection):
            return read(connection, *given, **named)

    return reading
