"""A finished model whose judgement of photos another one learns (knowledge distillation)."""

import torch
from torch import Tensor, nn
from torch.nn.functional import log_softmax, softmax
from torch.nn.functional import normalize as to_unit_length


class Teacher:
    """How likely a finished model finds each concept in a photo.

    It looks at the mirror image: over many photos its pupil then learns the mean of its judgement
    of a photo and of that photo's mirror image, which is right more often than either alone. It
    judges each photo as the pupil sees it, cropped and mixed: Beyer et al., "Knowledge
    distillation: A good teacher is patient and consistent", CVPR 2022.
    """

    def __init__(self, clip: nn.Module, vectors: Tensor, logit_scale: float) -> None:
        """`clip`: an open_clip CLIP model, which does not learn any more; `vectors`
        [concepts, embed_dim] of length 1; `logit_scale` > 0."""
        self._visual = clip.get_submodule("visual").eval().requires_grad_(False)
        self._vectors, self._scale = vectors, logit_scale

    def judge(self, images: Tensor) -> Tensor:
        """Probabilities [n, concepts] for normalised photos [n, 3, size, size]."""
        with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
            seen = self._visual(images.flip(3).contiguous(memory_format=torch.channels_last))
        return softmax(to_unit_length(seen.float(), dim=-1) @ self._vectors.T * self._scale, dim=-1)


def divergence(judged: Tensor, logits: Tensor) -> Tensor:
    """Mean Kullback-Leibler divergence of softmax(`logits`) [n, concepts] from `judged`
    [n, concepts], probabilities; a scalar >= 0.

    Source: Hinton, Vinyals and Dean, "Distilling the knowledge in a neural network", 2015.
    """
    said = judged.clamp(min=1e-12).log()
    return (judged * (said - log_softmax(logits, dim=-1))).sum(dim=1).mean()
