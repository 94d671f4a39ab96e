from pathlib import Path

import pytest

from tests.cli.program import Program


@pytest.fixture
def program(tmp_path: Path) -> Program:
    return Program(tmp_path)


@pytest.fixture(scope="session")
def colours(tmp_path_factory: pytest.TempPathFactory) -> Program:
    """A library with one photo of each colour, for tests that change nothing."""
    program = Program(tmp_path_factory.mktemp("colours"))
    program.add_colours()
    program.index()
    (program.folder / "notes.txt").write_text("no photo")
    (program.folder / "empty").mkdir()
    return program


@pytest.fixture
def indexed(program: Program) -> Program:
    """A program whose library holds one photo of each colour."""
    program.add_colours()
    program.index()
    return program
