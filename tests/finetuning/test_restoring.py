"""A model apart from the one in training: the original with trained tensors put into it."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from clipsearch.finetuning.preparing import load
from clipsearch.finetuning.restoring import restored
from clipsearch.training.trainee import trained_tensors
from clipsearch.training.tuning import TuneAll, prepare
from tests.encoders.tiny import write_clip


def test_the_trained_tensors_are_in_it_and_random_numbers_stay(tmp_path: Path) -> None:
    original = write_clip(tmp_path / "clip")
    trained = load(original)
    # As a run from a model of which a part is never trained.
    trained.model.logit_scale.requires_grad_(False)
    names = {name for name, p in trained.model.named_parameters() if p.requires_grad}
    prepare(trained.model, TuneAll())
    weights = {name: tensor + 1 for name, tensor in trained_tensors(trained.model).items()}
    prepared: Any = SimpleNamespace(
        directory=SimpleNamespace(original=original),
        loaded=SimpleNamespace(trainable=names),
        settings=SimpleNamespace(tune="all"),
    )
    torch.manual_seed(3)
    expected = torch.randn(4)
    torch.manual_seed(3)
    model = restored(prepared, weights)
    assert torch.equal(torch.randn(4), expected)
    found = model.state_dict()
    assert all(torch.equal(found[name], tensor) for name, tensor in weights.items())
    assert "logit_scale" not in weights
    assert torch.equal(found["logit_scale"], trained.model.logit_scale)
    with pytest.raises(KeyError, match="other tensors"):
        restored(prepared, {"x": torch.ones(1)})
