"""What a comparison means, in a sentence that a person can act on."""

from clipsearch.evaluating.measuring import Comparison, Evaluation
from clipsearch.metrics import PairedDifference


def verdicts(first: Evaluation, second: Evaluation, comparison: Comparison) -> list[str]:
    """One sentence for captions and one for labels, as far as both were compared.

    Each says as well when photos were learned from: it goes where warnings do not.
    """
    found = []
    names = (first.model, second.model)
    if comparison.recall is not None:
        found.append(verdict(*names, comparison.recall.difference, "mean recall"))
    if comparison.accuracy is not None:
        found.append(verdict(*names, comparison.accuracy.difference, "zero-shot accuracy"))
    learned = max(first.learned_from, second.learned_from)
    caveat = f"; which proves nothing: {learned:,} of the photos were learned from"
    return [sentence + caveat if learned else sentence for sentence in found]


def verdict(first: str, second: str, difference: PairedDifference, figure: str) -> str:
    """Which of two models is better by one figure, or that this cannot be told.

    Sure means: the 95 % interval of the difference leaves out 0, and p < 0.05.
    """
    numbers = (
        f"{_points(difference.difference)} points of {figure}, 95 % interval "
        f"{_points(difference.low)} to {_points(difference.high)}, p = {_p(difference.p_value)}, "
        f"{difference.groups:,} photo{'' if difference.groups == 1 else 's'}"
    )
    if difference.is_sure:
        word = "better" if difference.difference > 0 else "worse"
        return f"{second} is {word} than {first}: {numbers}"
    if difference.low == difference.high == 0:
        return f"{second} and {first} are equal: {numbers}"
    return f"no sure difference between {first} and {second}: {numbers}"


def _points(share: float) -> str:
    """A share as percentage points with its sign; what rounds to 0 has none."""
    shown = f"{100 * share:+.1f}"
    return "0.0" if shown in ("+0.0", "-0.0") else shown


def _p(value: float) -> str:
    return "0.0001" if value < 0.00015 else f"{value:.2g}" if value < 0.001 else f"{value:.3f}"
