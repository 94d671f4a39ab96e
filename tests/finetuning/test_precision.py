"""bfloat16 is chosen by measuring, once, and written down."""

import json
from dataclasses import replace

import pytest

from clipsearch.finetuning import Finished, Judged
from clipsearch.training import tower_precision
from clipsearch.training.precision import MeasuredPrecision
from tests.finetuning.test_run import stop_at
from tests.finetuning.tiny_run import WISHES, Workshop


@pytest.fixture
def _as_if_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clipsearch.encoders.machine.has_bfloat16", lambda: True)
    monkeypatch.setattr("clipsearch.finetuning.precision.is_large", lambda _count: True)


@pytest.mark.usefixtures("_as_if_large")
def test_a_run_keeps_to_what_was_measured_when_it_began(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    wishes = replace(WISHES, epochs=2)

    def measured(*_: object, **__: object) -> MeasuredPrecision:
        return MeasuredPrecision("bf16", 2.0, 1.0)

    with monkeypatch.context() as patch:
        patch.setattr(tower_precision, "measure_precision", measured)
        workshop.run("measured", wishes, stop_at(Judged, 2))
    settings = json.loads((workshop.folder / "measured" / "settings.json").read_text())
    assert settings["basis"]["precision"] == "bf16"
    assert settings["measured_precision"] == {
        "precision": "bf16", "fp32_seconds": 2.0, "bf16_seconds": 1.0,
    }  # fmt: skip

    def never(*_: object, **__: object) -> MeasuredPrecision:
        raise AssertionError("measured again")

    monkeypatch.setattr(tower_precision, "measure_precision", never)
    assert isinstance(workshop.run("measured", wishes), Finished)
    again = json.loads((workshop.folder / "measured" / "settings.json").read_text())
    assert again == settings


@pytest.mark.usefixtures("_as_if_large")
def test_measuring_changes_nothing_of_the_run(workshop: Workshop) -> None:
    """Really measured; a run that was told what won gives the same bytes."""
    wishes = replace(WISHES, epochs=1)
    workshop.run("really", wishes)
    settings = json.loads((workshop.folder / "really" / "settings.json").read_text())
    found = settings["measured_precision"]
    assert min(found["fp32_seconds"], found["bf16_seconds"]) > 0
    assert settings["basis"]["precision"] == found["precision"]
    workshop.run("told", replace(wishes, precision=found["precision"]))
    told = json.loads((workshop.folder / "told" / "settings.json").read_text())
    assert "measured_precision" not in told
    assert workshop.learned("really") == workshop.learned("told")
