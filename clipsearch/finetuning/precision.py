"""bfloat16 where it pays: measured when a run begins, written down, and kept to from then on."""

from typing import TYPE_CHECKING

from clipsearch.finetuning.asking import Request
from clipsearch.finetuning.gathering import Parts, words_of_photos
from clipsearch.finetuning.measuring import Seeing
from clipsearch.finetuning.settings import is_large

if TYPE_CHECKING:
    from clipsearch.encoders.openclip import LoadedModel
    from clipsearch.training.precision import MeasuredPrecision
    from clipsearch.training.processes import Worker

# Enough to tell twice as fast from a tenth faster, and a second's work for a model of 150 million.
_PAIRS = 8


def precision_that_pays(
    request: Request, loaded: "LoadedModel", seeing: Seeing, parts: Parts, worker: "Worker"
) -> "MeasuredPrecision | None":
    """What the run was begun with, else what a short measurement says.

    None where there is nothing to choose: a precision was asked for, the machine only emulates
    bfloat16, or the model is so small that its steps are too short to be compared.
    """
    from clipsearch.encoders.machine import has_bfloat16
    from clipsearch.training.runs import RunDirectory, recorded_precision
    from clipsearch.training.shipping import parameter_count
    from clipsearch.training.tower_precision import measure_towers

    if request.wishes.precision is not None:
        return None
    recorded = recorded_precision(RunDirectory(request.run).settings)
    if recorded is not None:
        return recorded
    may_pay = worker.device.type == "cuda" or has_bfloat16()
    if not may_pay or not is_large(parameter_count(loaded.model)):
        return None
    texts = words_of_photos(parts.of(parts.learned[:_PAIRS]))[:_PAIRS]
    for name, parameter in loaded.model.named_parameters():
        parameter.requires_grad_(name in loaded.trainable)
    model = loaded.model.to(worker.device)
    return measure_towers(model, seeing.preprocess.size, seeing.tokenize(texts), worker.device)
