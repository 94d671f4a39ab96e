"""Erase what nobody needs any more: the only thing that does, besides forgetting a folder."""

import os
import stat
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from clipsearch.errors import LockedError, StorageError, UsageError
from clipsearch.library import Library
from clipsearch.storage.catalogue import Catalogue, RegisteredModel, Root
from clipsearch.storage.erasing import Erased
from clipsearch.storage.layout import snapshot_name

# So long, a photo that went away by mistake can come back without being encoded again.
DAYS = 90
_DAY_SECONDS = 86_400


@dataclass(frozen=True, slots=True)
class PurgePlan:
    """What a purge would erase, and what it leaves although it has been missing for long.

    `paths` are the files whose rows go, missing since before `before` (seconds since the epoch).
    `offline` are rows of folders that are not there or look like an empty mount point, `present`
    those whose file is there again.
    """

    erases: Erased
    photo_ids: tuple[int, ...] = ()
    paths: tuple[bytes, ...] = ()
    offline: int = 0
    present: int = 0
    before: float = 0.0
    models: tuple[RegisteredModel, ...] = field(default=())

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to erase."""
        return self.erases == Erased() and not self.models


@dataclass(frozen=True, slots=True)
class Purge:
    """What was erased. `compacted` is False when there was no room to give the space back."""

    erased: Erased
    compacted: bool


def plan_purge(library: Library, days: float = DAYS) -> PurgePlan:
    """What has been missing for longer than `days`, and embeddings that no photo has.

    Changes nothing. Raises UsageError for a number of days that is negative.
    """
    if not 0 <= days < 1e6:
        raise UsageError(f"{days:g} days is no length of time", "Give a number of days from 0 on.")
    catalogue = library.catalogue
    with catalogue.reading():
        online = {root.root_id for root in catalogue.roots() if _is_online(catalogue, root)}
        before = time.time() - days * _DAY_SECONDS
        chosen, offline, present = [], 0, 0
        for photo in catalogue.erasing.missing_photos(before):
            if photo.root_id not in online:
                offline += 1
            elif not _is_gone(photo.path):
                present += 1
            else:
                chosen.append(photo)
        ids = tuple(photo.photo_id for photo in chosen)
        paths = tuple(photo.path for photo in chosen)
        return PurgePlan(catalogue.erasing.unneeded(ids), ids, paths, offline, present, before)


def plan_model_purge(library: Library, name: str) -> PurgePlan:
    """All embeddings by the models of that name, or with that beginning of a fingerprint.

    Changes nothing. Raises UsageError when there is none, or when it is the one that answers.
    """
    catalogue = library.catalogue
    with catalogue.reading():
        named = [model for model in catalogue.models() if _is_called(model, name)]
        if not named:
            raise UsageError(
                f"no model {name} has embeddings here", "See them with: clipsearch library"
            )
        chosen = tuple(model for model in named if not model.active)
        if not chosen:
            raise UsageError(
                f"the model {name} is the one that answers",
                "Index with another model first: clipsearch index --model NAME",
            )
        return PurgePlan(catalogue.erasing.embeddings_by(_ids(chosen)), models=chosen)


def purge(library: Library, plan: PurgePlan) -> Purge:
    """Erase what was planned, in one transaction, and give the space back.

    What is not any more what was planned stays: a photo that came back, a model that another took
    the number of. Killed at any moment, everything is there or all of it is gone. Raises
    LockedError when another process is writing, StorageError when the library cannot be written.
    """
    catalogue = library.catalogue
    with library.writer():
        if plan.models:
            models = _still_the_same(catalogue, plan)
            if catalogue.active_model_id() in _ids(models):
                raise UsageError("that model answers by now", "Nothing was erased.")
            erased = catalogue.erasing.erase_models(_ids(models))
            _remove_snapshots(library, models)
        else:
            erased = catalogue.erasing.erase_missing(_still_missing(catalogue, plan))
        # The space first: on a full disk a snapshot may only then find room.
        compacted = _compact(catalogue)
        library.refresh_snapshot()
        return Purge(erased, compacted)


def _still_the_same(catalogue: Catalogue, plan: PurgePlan) -> list[RegisteredModel]:
    """The planned models that nobody erased meanwhile: numbers are used again."""
    known = {model.model_id: model.info.fingerprint for model in catalogue.models()}
    return [model for model in plan.models if known.get(model.model_id) == model.info.fingerprint]


def _still_missing(catalogue: Catalogue, plan: PurgePlan) -> list[int]:
    """The planned rows that are still those of the same files, and have been missing since."""
    due = {photo.photo_id: photo.path for photo in catalogue.erasing.missing_photos(plan.before)}
    planned = zip(plan.photo_ids, plan.paths, strict=True)
    return [photo_id for photo_id, path in planned if due.get(photo_id) == path]


def _ids(models: Sequence[RegisteredModel]) -> list[int]:
    return [model.model_id for model in models]


def _is_called(model: RegisteredModel, name: str) -> bool:
    return model.info.name == name or (
        len(name) >= 8 and model.info.fingerprint.startswith(name.lower())
    )


def _is_online(catalogue: Catalogue, root: Root) -> bool:
    """Whether a root is there and still the one it was, as far as its files can tell.

    An empty folder, or one in which no photo is where it should be, may be a mount point whose
    disk is away.
    """
    try:
        if not os.listdir(root.path):
            return False
    except OSError:
        return False
    live = catalogue.live_paths(root)
    first = next(live, None)
    return first is None or os.path.lexists(first) or any(map(os.path.lexists, live))


def _is_gone(path: bytes) -> bool:
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False


def _remove_snapshots(library: Library, models: Sequence[RegisteredModel]) -> None:
    for model in models:
        path = library.directory / snapshot_name(model.info.fingerprint)
        path.unlink(missing_ok=True)


def _compact(catalogue: Catalogue) -> bool:
    try:
        catalogue.erasing.give_space_back()
    except (StorageError, LockedError):
        # A second copy does not fit. The free pages are filled by what is indexed next.
        return False
    return True
