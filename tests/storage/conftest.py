from collections.abc import Iterator
from pathlib import Path

import pytest

from clipsearch.storage.catalogue import Catalogue, Root
from tests.storage.small_library import MODEL, ROOT, new_catalogue


@pytest.fixture
def catalogue(tmp_path: Path) -> Iterator[Catalogue]:
    """An empty catalogue with an active model."""
    opened = new_catalogue(tmp_path)
    opened.activate_model(opened.register_model(MODEL))
    yield opened
    opened.close()


@pytest.fixture
def root(catalogue: Catalogue) -> Root:
    return catalogue.add_root(ROOT, 5, 6)
