"""The models table, and which of them answers."""

from clipsearch.errors import ModelMismatchError
from clipsearch.storage.connection import Connection
from clipsearch.storage.faults import damaged
from clipsearch.storage.records import RegisteredModel, model_from_json, model_to_json
from clipsearch.types import ModelInfo


def register_model(connection: Connection, info: ModelInfo) -> int:
    """The id of a model, which is added when its fingerprint is new.

    Raises ModelMismatchError when that fingerprint is known with another dimension.
    """
    found = connection.row("SELECT id FROM models WHERE fingerprint = ?", (info.fingerprint,))
    if found is None:
        return connection.insert(
            "INSERT INTO models (fingerprint, info) VALUES (?, ?)",
            (info.fingerprint, model_to_json(info)),
        )
    model_id = int(found[0])
    known = model_info(connection, model_id)
    if known.embed_dim != info.embed_dim:
        raise ModelMismatchError(
            f"The library knows the model {known.name} with {known.embed_dim} dimensions, "
            f"not {info.embed_dim}",
            "Install the model again.",
        )
    return model_id


def model_info(connection: Connection, model_id: int) -> ModelInfo:
    """A registered model. Raises DamageError when its row cannot be read."""
    found = connection.row("SELECT fingerprint, info FROM models WHERE id = ?", (model_id,))
    if found is None:
        raise damaged(connection.path, f"it has no model {model_id}")
    try:
        info = model_from_json(found[1])
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise damaged(connection.path, f"model {model_id} cannot be read") from error
    if info.fingerprint != found[0]:
        raise damaged(connection.path, f"model {model_id} carries another's fingerprint")
    return info


def active_model_id(connection: Connection) -> int | None:
    """The model that answers, or None before the first one was activated."""
    found = connection.row("SELECT active_model FROM meta")
    if found is None:
        raise damaged(connection.path, "what it says of itself is gone")
    active: int | None = found[0]
    return active


def registered_models(connection: Connection) -> list[RegisteredModel]:
    """All models that have embeddings here, in the order they came."""
    active = active_model_id(connection)
    return [
        RegisteredModel(model_id, model_info(connection, model_id), embedded, model_id == active)
        for model_id, embedded in connection.rows(
            "SELECT m.id, (SELECT count(*) FROM embeddings e WHERE e.model_id = m.id) "
            "FROM models m ORDER BY m.id"
        )
    ]
