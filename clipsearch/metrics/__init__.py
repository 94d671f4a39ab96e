"""How good a model is, in numbers: numpy, pure, each with its definition and its trap.

ranks = retrieval_ranks(photos, captions, owner)
print(retrieval(photos, captions, owner).to_photo.recall_at[5])     # 0.62 (0.58 to 0.66)
print(paired_difference(hits_before, hits_after, owner))            # same captions, two models
"""

from clipsearch.metrics.accuracy import (
    ClassAccuracy,
    Confusion,
    LabelReport,
    expected_calibration_error,
    label_report,
    mean_per_class,
    top_k_accuracy,
)
from clipsearch.metrics.intervals import (
    Estimate,
    PairedDifference,
    Values,
    mean_estimate,
    median_estimate,
    paired_difference,
)
from clipsearch.metrics.neighbours import intersection_at_k
from clipsearch.metrics.ranks import (
    CUTOFFS,
    Direction,
    Retrieval,
    RetrievalRanks,
    mean_recall_of_both,
    ranks_in_blocks,
    recall_of_both,
    retrieval,
    retrieval_ranks,
    summarise,
)

__all__ = [
    "CUTOFFS",
    "ClassAccuracy",
    "Confusion",
    "Direction",
    "Estimate",
    "LabelReport",
    "PairedDifference",
    "Retrieval",
    "RetrievalRanks",
    "Values",
    "expected_calibration_error",
    "intersection_at_k",
    "label_report",
    "mean_estimate",
    "mean_per_class",
    "mean_recall_of_both",
    "median_estimate",
    "paired_difference",
    "ranks_in_blocks",
    "recall_of_both",
    "retrieval",
    "retrieval_ranks",
    "summarise",
    "top_k_accuracy",
]
