"""A GPU that is there and does not work is found out, told of once, and done without."""

import warnings
from collections.abc import Iterator

import pytest
import torch

from clipsearch import devices
from clipsearch.devices import trouble_of, working_device
from clipsearch.errors import ClipsearchWarning

pytestmark = [pytest.mark.real, pytest.mark.row("K3")]


@pytest.fixture(autouse=True)
def _asked_anew(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What was found out is forgotten, before and after."""
    monkeypatch.setattr(torch.cuda, "is_available", torch.cuda.is_available)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    working_device.cache_clear()
    yield
    working_device.cache_clear()


def is_there(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fail() -> None:
        raise error

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "_lazy_init", fail)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (RuntimeError("CUDA error: no kernel image.\nMore."), "CUDA error: no kernel image"),
        (AssertionError(), "AssertionError"),
        (OSError("libcudnn.so.9: cannot open"), "libcudnn.so.9: cannot open"),
    ],
)
def test_the_first_tensor_fails(
    monkeypatch: pytest.MonkeyPatch, error: Exception, said: str
) -> None:
    is_there(monkeypatch, error)
    assert trouble_of("cuda") == said
    with pytest.warns(ClipsearchWarning) as warned:
        answers = [working_device("cuda") for _ in range(3)]
    assert answers == ["cpu"] * 3
    assert (torch.cuda.is_available(), torch.cuda.device_count()) == (False, 0)
    assert [str(each.message) for each in warned] == [
        f"the GPU cannot be used ({said}): the processor computes instead. "
        "clipsearch doctor --torch tells when it can"
    ]


def test_a_driver_that_is_too_old(monkeypatch: pytest.MonkeyPatch) -> None:
    def is_available() -> bool:
        warnings.warn("The NVIDIA driver is too old.", stacklevel=2)
        return False

    monkeypatch.setattr(torch.cuda, "is_available", is_available)
    with pytest.warns(ClipsearchWarning, match="The NVIDIA driver is too old"):
        assert working_device("cuda", "mps") == "cpu"


def test_wrong_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    real = torch.ones
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch, "ones", lambda *size, device: real(*size) * 1.01)
    assert trouble_of("cuda") == "it computes wrong numbers"
    monkeypatch.setattr(torch, "ones", lambda *size, device: real(*size))
    assert trouble_of("cuda") is None
    assert working_device("cuda", "mps") == "cuda"


def test_none_is_no_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert trouble_of("cuda") == ""
    assert devices.working_device("cuda", "mps") == "cpu"
