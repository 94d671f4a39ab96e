import pytest

from clipsearch.training.schedule import SizeStage, size_at, warmup_cosine


@pytest.mark.parametrize(
    ("progress", "rate"),
    [(0.0, 0.0), (0.05, 0.5), (0.1, 1.0), (0.55, 0.5), (1.0, 0.0), (1.3, 0.0), (-1.0, 0.0)],
)
def test_warmup_then_cosine(progress: float, rate: float) -> None:
    assert warmup_cosine(progress, peak=1.0, warmup=0.1) == pytest.approx(rate, abs=1e-9)


@pytest.mark.parametrize(("progress", "size"), [(0.0, 32), (0.49, 32), (0.5, 64), (1.5, 64)])
def test_sizes_follow_progress(progress: float, size: int) -> None:
    assert size_at(progress, (SizeStage(0.5, 32), SizeStage(1.0, 64))) == size
