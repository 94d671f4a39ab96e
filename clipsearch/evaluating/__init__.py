"""How good a model is on photos with captions or labels, and which of two is better.

data = read_evaluation_data("captions.csv")
embedded = embed(data, towers, load_encoder, template_set())
print(evaluation(data, embedded, rank(data, embedded)).retrieval.to_photo.recall_at[5])
"""

from clipsearch.evaluating.data import EvaluationData, read_evaluation_data
from clipsearch.evaluating.embedding import Embedded, LeftOut, embed, photos_with_a_say
from clipsearch.evaluating.measuring import (
    Compared,
    Comparison,
    Evaluation,
    LabelScores,
    Ranked,
    ZeroShot,
    compare,
    evaluation,
    rank,
)
from clipsearch.evaluating.snapshots import SnapshotAgreement, snapshot_agreement
from clipsearch.evaluating.verdicts import verdict, verdicts

__all__ = [
    "Compared",
    "Comparison",
    "Embedded",
    "Evaluation",
    "EvaluationData",
    "LabelScores",
    "LeftOut",
    "Ranked",
    "SnapshotAgreement",
    "ZeroShot",
    "compare",
    "embed",
    "evaluation",
    "photos_with_a_say",
    "rank",
    "read_evaluation_data",
    "snapshot_agreement",
    "verdict",
    "verdicts",
]
