"""Contrastive losses: one file each, with formula, source and when to choose it."""

from clipsearch.errors import UsageError
from clipsearch.training.losses.contrastive import ContrastiveLoss, same_meaning
from clipsearch.training.losses.margin import MarginLoss
from clipsearch.training.losses.sigmoid import SigmoidLoss, pairwise_sigmoid
from clipsearch.training.losses.softmax import (
    InfoNCELoss,
    UniCLLoss,
    multi_positive_softmax,
    symmetric_multi_positive_softmax,
)
from clipsearch.training.losses.temperature import MAX_LOGIT_SCALE, clamp_temperature
from clipsearch.training.losses.triplet import TripletLoss, hardest, semi_hard
from clipsearch.training.losses.views import LabelledViewsLoss, ViewsLoss

LOSS_NAMES = ("unicl", "infonce", "sigmoid", "triplet", "triplet-hard", "margin")

__all__ = [
    "LOSS_NAMES",
    "MAX_LOGIT_SCALE",
    "ContrastiveLoss",
    "InfoNCELoss",
    "LabelledViewsLoss",
    "MarginLoss",
    "SigmoidLoss",
    "TripletLoss",
    "UniCLLoss",
    "ViewsLoss",
    "clamp_temperature",
    "hardest",
    "make_loss",
    "multi_positive_softmax",
    "pairwise_sigmoid",
    "same_meaning",
    "semi_hard",
    "symmetric_multi_positive_softmax",
]


def make_loss(name: str) -> ContrastiveLoss:
    """The loss called `name`, one of LOSS_NAMES. Raises UsageError for any other name."""
    match name:
        case "unicl":
            return UniCLLoss()
        case "infonce":
            return InfoNCELoss()
        case "sigmoid":
            return SigmoidLoss()
        case "triplet":
            return TripletLoss()
        case "triplet-hard":
            return TripletLoss(mine=hardest)
        case "margin":
            return MarginLoss()
    raise UsageError(f"There is no loss called {name!r}", f"Choose one of {', '.join(LOSS_NAMES)}")
