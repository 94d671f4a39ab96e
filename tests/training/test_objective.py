"""What is added to the contrastive loss: by hand from the parts."""

import open_clip
import pytest
import torch

from clipsearch.training.losses import LabelledViewsLoss, ViewsLoss, make_loss
from clipsearch.training.objective import PairObjective, ViewsOf
from clipsearch.training.pair_batches import PairBatch
from tests.training.tiny_model import ARCHITECTURE, tokens_of


@pytest.mark.parametrize("views_of", ["photo", "label"])
def test_views_of_a_photo_or_of_a_label_are_added_with_their_weight(views_of: ViewsOf) -> None:
    torch.manual_seed(0)
    model = open_clip.CLIP(**ARCHITECTURE)
    cpu = torch.device("cpu")
    images, views = torch.randn(2, 4, 3, 16, 16)
    ids = torch.tensor([0, 1, 0, 2])
    tokens = tokens_of(["a dog", "a cat", "a dog", "snow"])
    batch = PairBatch(torch.arange(4), images, tokens, ids, views)

    def value(weight: float) -> float:
        objective = PairObjective(
            model, make_loss("unicl"), cpu, views_weight=weight, views_of=views_of
        )
        return float(objective.backward(batch, 1.0))

    rows = PairObjective(model, make_loss("unicl"), cpu).encode_image(torch.cat([images, views]))
    by_photo = ViewsLoss()(rows[:4], rows[4:]).item()
    by_label = LabelledViewsLoss()(rows[:4], rows[4:], ids).item()
    assert abs(by_photo - by_label) > 2e-3
    added = by_label if views_of == "label" else by_photo
    assert value(0.5) - value(0.0) == pytest.approx(0.5 * added, abs=1e-4)


def test_the_pairs_loss_counts_as_much_as_asked() -> None:
    torch.manual_seed(0)
    model = open_clip.CLIP(**ARCHITECTURE)
    batch = PairBatch(
        indices=torch.arange(2),
        images=torch.randn(2, 3, 16, 16),
        tokens=tokens_of(["a dog", "a cat"]),
        ids=torch.arange(2),
        views=torch.randn(2, 3, 16, 16),
    )

    def value(pairs: float, views: float) -> float:
        objective = PairObjective(
            model, make_loss("unicl"), torch.device("cpu"), pairs_weight=pairs, views_weight=views
        )
        return float(objective.backward(batch, 1.0))

    assert value(0.1, 0.0) == pytest.approx(0.1 * value(1.0, 0.0))
    beside = value(1.0, 1.0) - value(1.0, 0.0)
    assert value(0.1, 1.0) == pytest.approx(0.1 * value(1.0, 0.0) + beside, abs=1e-5)
