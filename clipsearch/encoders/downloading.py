"""Files fetched from the model hub: one pinned revision, every byte checked against the hub's own
metadata, a file that breaks off continued.

The hub is the one huggingface_hub is set to (`HF_ENDPOINT` names a mirror, `HF_HUB_OFFLINE=1`
forbids the network). Nothing else in clipsearch opens a connection.
"""

import hashlib
import io
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clipsearch.encoders.hashing import sha256_of_file
from clipsearch.errors import ModelUnavailableError, StorageError
from clipsearch.storage.refusals import next_step
from clipsearch.types import Progress

if TYPE_CHECKING:
    from huggingface_hub.hf_api import RepoSibling

REMEDIES = (
    "Choose another preset (`clipsearch models`), set HF_ENDPOINT to a mirror of the hub, give a "
    "local file or directory as the model, or use `--model starter`, which needs no download"
)


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository at one revision: the commit, the licence on its card, its files."""

    name: str
    revision: str
    licence: str | None
    files: dict[str, "RepoSibling"]


def open_repository(name: str) -> Repository:
    """Ask the hub what a repository holds now; everything is fetched from that revision.

    Raises:
        ModelUnavailableError: the hub cannot be reached, or has no such public repository.
    """
    from huggingface_hub import HfApi

    with _hub_errors(name):
        answer = HfApi().model_info(name, files_metadata=True)
    if not answer.sha or not answer.siblings:
        raise ModelUnavailableError(f"{name} on the hub is empty", REMEDIES)
    licence = answer.card_data.get("license") if answer.card_data else None
    files = {sibling.rfilename: sibling for sibling in answer.siblings}
    return Repository(name, answer.sha, licence, files)


def fetch(repository: Repository, files: list[str], folder: Path, progress: Progress) -> list[Path]:
    """Fetch files into `folder` and check each; those that an earlier run completed are kept.

    Raises:
        ModelUnavailableError: the hub cannot be reached, or a file is not what the hub promised.
        StorageError: there is no space or no permission.
    """
    from huggingface_hub import hf_hub_download

    sizes = [repository.files[name].size or 0 for name in files]
    paths = []
    for index, name in enumerate(files):
        report = _reporter(progress, sum(sizes[:index]), sum(sizes))
        with _hub_errors(repository.name):
            path = hf_hub_download(
                repository.name,
                name,
                revision=repository.revision,
                local_dir=folder,
                tqdm_class=_progress_bar(report),
            )
        paths.append(Path(path))
        _check(paths[-1], repository.files[name])
        report(sizes[index])
    return paths


def _check(path: Path, promised: "RepoSibling") -> None:
    """Compare a fetched file with the hub's metadata: SHA-256 for large files, git's for others."""
    if promised.lfs is not None:
        matches = sha256_of_file(path) == promised.lfs.sha256
    elif promised.blob_id is not None:
        data = path.read_bytes()
        # Git names a file by the SHA-1 of "blob <size>\0" and its content.
        header = f"blob {len(data)}\0".encode("ascii")
        blob = hashlib.sha1(header + data, usedforsecurity=False).hexdigest()
        matches = blob == promised.blob_id
    else:
        matches = False
    if not matches:
        # Left in place, it would be taken for finished by the next attempt.
        path.unlink()
        raise ModelUnavailableError(
            f"{path.name} arrived damaged: its hash is not the one the hub promised",
            "Try again; if it happens again, the connection or the mirror changes files",
        )


def _reporter(progress: Progress, before: int, total: int) -> Callable[[int], None]:
    return lambda done: progress("fetching", before + done, total)


def _progress_bar(report: Callable[[int], None]) -> type[Any]:
    """A progress bar class that draws nothing and tells `report` how many bytes are there."""
    from tqdm import tqdm  # type: ignore[import-untyped]

    class Bar(tqdm):  # type: ignore[misc]
        def __init__(self, *args: Any, **settings: Any) -> None:
            settings.pop("name", None)
            # A disabled bar would not count, so it draws into nothing instead.
            settings |= {"file": io.StringIO(), "disable": False}
            super().__init__(*args, **settings)

        def update(self, n: float | None = 1) -> bool | None:
            drawn: bool | None = super().update(n)
            report(int(self.n))
            return drawn

    return Bar


@contextmanager
def _hub_errors(repository: str) -> Iterator[None]:
    """Turn what huggingface_hub raises into one line that says what to do."""
    from huggingface_hub import errors

    # It logs every retry to the terminal, in the middle of the progress line.
    log = logging.getLogger("huggingface_hub")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    except errors.OfflineModeIsEnabled as error:
        raise ModelUnavailableError(
            f"{repository} has to be fetched, but HF_HUB_OFFLINE is set", REMEDIES
        ) from error
    except errors.GatedRepoError as error:
        raise ModelUnavailableError(
            f"{repository} is only given to people who accepted its licence on the hub",
            "Accept it there and set HF_TOKEN, or choose another model",
        ) from error
    except errors.LocalEntryNotFoundError as error:
        raise ModelUnavailableError("the hub cannot be reached", REMEDIES) from error
    except (errors.RepositoryNotFoundError, errors.EntryNotFoundError) as error:
        raise ModelUnavailableError(
            f"the hub has no public repository {repository} with these files",
            "Check the name; for a private one set HF_TOKEN",
        ) from error
    except errors.HfHubHTTPError as error:
        status = error.response.status_code
        raise ModelUnavailableError(f"the hub answered {status}", REMEDIES) from error
    except (_transport_error(), ConnectionError, TimeoutError) as error:
        raise ModelUnavailableError("the hub cannot be reached", REMEDIES) from error
    except OSError as error:
        if error.errno is None:
            # huggingface_hub's own words for fewer bytes than were promised.
            raise ModelUnavailableError(
                f"{repository} did not arrive whole",
                "Try again; if it happens again, the connection or the mirror cuts files",
            ) from error
        raise StorageError(
            f"{repository} cannot be stored ({error.strerror})",
            next_step(error, "set CLIPSEARCH_MODELS to another directory"),
        ) from error
    except ValueError as error:
        # What a hotel's login page in place of the hub's JSON comes to.
        raise ModelUnavailableError("something else than the hub answered", REMEDIES) from error
    finally:
        log.setLevel(level)


def _transport_error() -> type[Exception]:
    """The error class of the HTTP library that huggingface_hub uses: httpx, or httpx2 later."""
    from huggingface_hub import errors

    http_error: type[Exception] = errors.HTTPError  # type: ignore[attr-defined]
    return http_error
