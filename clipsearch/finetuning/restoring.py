"""A model apart from the one in training, with trained weights put into it."""

from typing import TYPE_CHECKING, Any

from clipsearch.finetuning.preparing import Prepared, load

if TYPE_CHECKING:
    from clipsearch.training.trainee import Weights


def restored(prepared: Prepared, weights: "Weights") -> Any:
    """The original with the trained tensors `weights`, as it is in training: LoRA is not merged.

    On the processor. Making a model draws random numbers: a training run's stay as they were.
    Raises KeyError when the tensors are another model's.
    """
    from clipsearch.training.processes import random_numbers_kept
    from clipsearch.training.trainee import put
    from clipsearch.training.tuning import prepare
    from clipsearch.training.tuning_names import tune_called

    with random_numbers_kept():
        loaded = load(prepared.directory.original)
        for name, parameter in loaded.model.named_parameters():
            parameter.requires_grad_(name in prepared.loaded.trainable)
        prepare(loaded.model, tune_called(prepared.settings.tune))
    put(loaded.model, weights)
    return loaded.model
