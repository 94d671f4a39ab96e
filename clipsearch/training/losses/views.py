"""Losses between two views of the same photos: no text needed."""

import torch
from torch import Tensor, nn

from clipsearch.training.losses.contrastive import same_meaning
from clipsearch.training.losses.softmax import multi_positive_softmax


def same_among_views(views: Tensor, ids: Tensor, temperature: float) -> Tensor:
    """Each view against all others; those with its id are the matches, itself is left out.

        L = 1/m * sum over i of -1/|P(i)| * sum over k in P(i) of
            log( exp(z_i.z_k / T) / sum over j != i of exp(z_i.z_j / T) )

    Source: Khosla et al., "Supervised Contrastive Learning", NeurIPS 2020, equation 2 (L_out).
    `views` [m, d] unit rows; `ids` [m]; `temperature` T > 0. Returns a scalar >= 0.
    """
    itself = torch.eye(len(views), dtype=torch.bool, device=views.device)  # [m, m]
    return multi_positive_softmax(
        views @ views.T / temperature, same_meaning(ids) & ~itself, itself
    )


class ViewsLoss(nn.Module):
    """NT-Xent, the loss of SimCLR: two views of one photo find each other among all 2n views.

        L = 1/2n * sum over i of -log( exp(z_i.z_p(i) / T) / sum over j != i of exp(z_i.z_j / T) )

    Source: Chen et al., "A Simple Framework for Contrastive Learning of Visual Representations",
    ICML 2020, equation 1. Mu et al., "SLIP: Self-supervision Meets Language-Image Pre-training",
    ECCV 2022, add it to CLIP's loss with weight 1 and T = 0.1.

    Choose it, as an additional term, when there are more photos than captions.
    """

    def __init__(self, temperature: float = 0.1) -> None:
        """`temperature` T > 0."""
        super().__init__()
        self.temperature = temperature

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """`first`, `second` [n, d] unit rows, row i of both from photo i. A scalar >= 0."""
        photo = torch.arange(len(first), device=first.device).repeat(2)  # [2n]
        return same_among_views(torch.cat([first, second]), photo, self.temperature)


class LabelledViewsLoss(nn.Module):
    """SupCon: as ViewsLoss, and all views of photos with the same label are matches.

    Source: Khosla et al., "Supervised Contrastive Learning", NeurIPS 2020, equation 2, T = 0.1.

    Choose it, beside a loss with texts, when photos will be searched by photo: alone it lets the
    photos drift away from their texts.
    """

    def __init__(self, temperature: float = 0.1) -> None:
        """`temperature` T > 0."""
        super().__init__()
        self.temperature = temperature

    def forward(self, first: Tensor, second: Tensor, ids: Tensor) -> Tensor:
        """`first`, `second` [n, d] unit rows; `ids` [n] labels of the photos. A scalar >= 0."""
        return same_among_views(torch.cat([first, second]), ids.repeat(2), self.temperature)
