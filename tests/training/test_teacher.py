"""A teacher judges the mirror image, without being changed; a pupil is as far off as Kullback and
Leibler say."""

import math

import pytest
import torch
from torch import Tensor, nn

from clipsearch.training.teacher import Teacher, divergence


class Sides(nn.Module):
    """A photo's embedding: how bright its left and its right side are."""

    def __init__(self) -> None:
        super().__init__()
        self.visual = nn.Module()
        self.visual.forward = self.sides  # type: ignore[method-assign]
        self.visual.gain = nn.Parameter(torch.ones(()))
        self.visual.norm = nn.BatchNorm2d(3)

    def sides(self, images: Tensor) -> Tensor:
        self.visual.norm(images)
        half = images.shape[3] // 2
        return self.visual.gain * torch.stack(
            [images[..., :half].mean(dim=(1, 2, 3)), images[..., half:].mean(dim=(1, 2, 3))], dim=1
        )


def test_the_mirror_image_is_judged() -> None:
    photo = torch.zeros(1, 3, 4, 4)
    photo[..., :2] = 5.0  # bright on the left: in the mirror on the right
    teacher = Teacher(Sides(), torch.eye(2), logit_scale=math.log(3.0))
    assert teacher.judge(photo)[0].tolist() == pytest.approx([0.25, 0.75], abs=1e-3)


def test_the_teacher_does_not_learn() -> None:
    model = Sides()
    mean = model.visual.norm.running_mean
    assert isinstance(mean, Tensor)
    before = mean.clone()
    judged = Teacher(model, torch.eye(2), 1.0).judge(torch.rand(4, 3, 4, 4) + 3)
    assert not judged.requires_grad
    assert not any(p.requires_grad for p in model.parameters())
    assert torch.equal(mean, before)


def test_divergence_of_a_pair_of_rows_by_hand() -> None:
    judged = torch.tensor([[0.5, 0.5], [0.25, 0.75]])
    logits = torch.tensor([[math.log(3.0), 0.0], [0.0, math.log(3.0)]])  # 3/4, 1/4; 1/4, 3/4
    first = 0.5 * math.log(0.5 / 0.75) + 0.5 * math.log(0.5 / 0.25)
    assert divergence(judged, logits).item() == pytest.approx(first / 2, abs=1e-6)


def test_a_judgement_without_doubt_has_a_finite_divergence() -> None:
    judged = torch.tensor([[0.0, 1.0]])
    logits = torch.zeros(1, 2, requires_grad=True)
    loss = divergence(judged, logits)
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.item() == pytest.approx(math.log(2))
    assert logits.grad is not None
    assert logits.grad[0].tolist() == pytest.approx([0.5, -0.5])
