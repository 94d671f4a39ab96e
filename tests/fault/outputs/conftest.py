import pytest

from tests.cli.program import Program
from tests.fault.outputs.hostile import fill, labels_file


@pytest.fixture(scope="session")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Program:
    """An indexed album of hostile names."""
    program = Program(tmp_path_factory.mktemp("hostile"))
    fill(program)
    labels_file(program.folder)
    assert program.run("index", "album", "--model", "fake").code == 3
    return program
