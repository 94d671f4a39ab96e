"""WiSE-FT: between the weights a model had and those it learned there are often better ones.

Source: Wortsman et al., "Robust fine-tuning of zero-shot models", CVPR 2022. A fine-tuned model is
better on its own data and worse elsewhere; the straight line between the two sets of weights leads
through models that keep most of both. It costs nothing but measuring a few of them.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from clipsearch.percent import percent

WEIGHTS = tuple(step / 10 for step in range(11))


@dataclass(frozen=True, slots=True)
class Point:
    """One model on the line. `weight` 0 is the original, 1 the tuned one.

    `score` says how good it is on the validation part (higher is better), `forgetting` how much it
    lost of what the data does not cover (see `retention`): 0 for the original, by definition.
    """

    weight: float
    score: float
    forgetting: float


def interpolate(
    original: Mapping[str, Tensor], tuned: Mapping[str, Tensor], weight: float
) -> dict[str, Tensor]:
    """(1 - weight) * original + weight * tuned, tensor by tensor; `weight` in 0..1.

    At both ends the weights are copied bit by bit. Computed in float32, kept in the dtype of
    `original`. What is no floating-point number (a counter) is the original's below 1. Raises
    ValueError when the two are not of one architecture, or the weight is not in 0..1.
    """
    if not 0 <= weight <= 1:
        raise ValueError(f"weight {weight} is not in 0..1")
    _require_same_names(original, tuned)
    return {name: _between(name, original[name], tuned[name], weight) for name in original}


def _require_same_names(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> None:
    if one.keys() != other.keys():
        differing = sorted(one.keys() ^ other.keys())
        raise ValueError(f"these weights are only in one of the two: {differing[:5]}")


def _between(name: str, first: Tensor, second: Tensor, weight: float) -> Tensor:
    if first.shape != second.shape:
        raise ValueError(f"{name} is {tuple(first.shape)} in one and {tuple(second.shape)} there")
    if weight == 1:
        return second.detach().to(first.dtype, copy=True)
    if weight == 0 or not first.is_floating_point():
        return first.detach().clone()
    mixed = (1 - weight) * first.detach().float() + weight * second.detach().float()
    return mixed.to(first.dtype)


def sweep(
    model: nn.Module,
    original: Mapping[str, Tensor],
    tuned: Mapping[str, Tensor],
    measure: Callable[[], tuple[float, float]],
    weights: Sequence[float] = WEIGHTS,
) -> list[Point]:
    """Measure `model` with the weights of each point on the line, in ascending order.

    Both sets of weights are whole and plain ones: LoRA is merged before. `measure` returns (score,
    forgetting) of the model as it is when called. 0 is always measured:
    without the original there is nothing to be better than. Afterwards the model has the original
    weights again.
    """
    points = []
    state = model.state_dict()
    _require_same_names(original, tuned)
    _require_same_names(original, state)
    try:
        for weight in sorted({0.0, *weights}):
            # Tensor by tensor: a third set of weights beside the two may not fit into memory.
            for name, tensor in state.items():
                tensor.copy_(_between(name, original[name], tuned[name], weight))
            score, forgetting = measure()
            points.append(Point(weight, score, 0.0 if weight == 0 else forgetting))
    finally:
        model.load_state_dict(dict(original))
    return points


def choose(points: Sequence[Point], most_forgetting: float) -> Point:
    """The point with the best score among those that forget at most `most_forgetting`.

    Of equal scores the smallest weight, so the original stays unless another is better. A score
    that is no number never wins. Trap: the winner's score on the part it was chosen on is too
    high; report it on photos that had no say. Raises ValueError when weight 0 is not among them.
    """
    if not any(point.weight == 0 for point in points):
        raise ValueError("the original (weight 0) was not measured")
    allowed = [
        point
        for point in points
        if point.weight == 0
        or (point.forgetting <= most_forgetting and not math.isnan(point.score))
    ]
    return max(allowed, key=lambda p: (-math.inf if math.isnan(p.score) else p.score, -p.weight))


def curve_table(points: Sequence[Point], chosen: Point, score_name: str) -> str:
    """The curve as text, one line a point, `*` before the chosen one; shares in percent."""
    width = max(12, len(score_name))
    lines = [f"  {'weight':>6}  {score_name:>{width}}  {'forgetting':>10}"]
    lines += [
        f"{'*' if point == chosen else ' '} {point.weight:>6.2f}  {percent(point.score):>{width}}"
        f"  {percent(point.forgetting):>10}"
        for point in points
    ]
    return "\n".join(lines) + "\n"
