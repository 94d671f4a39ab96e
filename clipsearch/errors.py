"""The one error tree. Each error says what happened and what to do next, in one line.

    ClipsearchError                 exit code 6: could not run
    ├── UsageError                  2   the request itself is wrong
    │   └── QueryError              2   a query that cannot be read
    ├── DamageError                 4   our own file is damaged
    ├── ModelMismatchError          5   the library belongs to another model
    ├── LockedError                 11  another process is writing to the library
    ├── ModelUnavailableError       6   a model cannot be found, fetched or verified
    ├── MissingExtraError           6   an optional package is needed
    ├── StorageError                6   no space, no permission, unreadable library
    └── PhotoError                  3   one photo cannot be used; never stops a run
        ├── NotPhoto                    no image, and not named like one
        ├── PhotoGone                   vanished since it was listed
        ├── UnsupportedPhoto            not a format we decode
        ├── DamagedPhoto                the bytes cannot be decoded
        └── RefusedPhoto                over a limit (size, pixels, time, memory)

Exit codes follow grep and restic: 0 complete, 1 nothing relevant found, 2 usage, 3 finished but
some files failed, 4 damage found, 5 model mismatch, 6 could not run, 11 locked, 130 interrupted.
"""


class ClipsearchError(Exception):
    """Base of every error a user may see: a message, a remedy, and a stable exit code."""

    exit_code = 6

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message}. {self.remedy}" if self.remedy else self.message


class ClipsearchWarning(UserWarning):
    """What a user should know although the work goes on: one line."""


class UsageError(ClipsearchError):
    """The request itself is wrong: a missing path, an unknown name, contradicting options."""

    exit_code = 2


class QueryError(UsageError):
    """A query that cannot be read."""


class DamageError(ClipsearchError):
    """One of our own files is damaged."""

    exit_code = 4


class ModelMismatchError(ClipsearchError):
    """Embeddings of two models would be mixed."""

    exit_code = 5


class LockedError(ClipsearchError):
    """Another process is writing to the library."""

    exit_code = 11


class ModelUnavailableError(ClipsearchError):
    """A model cannot be found, fetched, verified or exported."""


class MissingExtraError(ClipsearchError):
    """An optional package is needed for this request."""


class StorageError(ClipsearchError):
    """The library cannot be read or written: no space, no permission, not a library."""


class PhotoError(ClipsearchError):
    """One photo cannot be used. Costs that photo only, never the run."""

    exit_code = 3
    kind = "unreadable"


class NotPhoto(PhotoError):
    """Not an image, and its name does not claim that it is one."""

    kind = "not-photo"


class PhotoGone(PhotoError):
    """The file vanished between listing and opening."""

    kind = "gone"


class UnsupportedPhoto(PhotoError):
    """Not a format that can be decoded here (or not without an extra)."""

    kind = "unsupported"


class DamagedPhoto(PhotoError):
    """The bytes are damaged or incomplete."""

    kind = "damaged"


class RefusedPhoto(PhotoError):
    """Over a limit: file size, pixels, decoding time or memory."""

    kind = "refused"
