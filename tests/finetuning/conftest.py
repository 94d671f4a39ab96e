from collections.abc import Iterator

import pytest
import torch

from tests.finetuning.tiny_run import Workshop


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Tiny tensors: on a busy machine a second thread only waits."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """A model and photos that no test changes, and a place for runs of different names."""
    return Workshop(tmp_path_factory.mktemp("workshop"))


@pytest.fixture(scope="session")
def undisturbed(workshop: Workshop) -> Workshop:
    """The workshop with a run called `undisturbed` that came to its end."""
    workshop.run("undisturbed", save_seconds=0.0)
    return workshop
