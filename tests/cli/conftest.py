from pathlib import Path

import pytest

from tests.cli.program import Program


@pytest.fixture
def program(tmp_path: Path) -> Program:
    return Program(tmp_path)


@pytest.fixture
def indexed(program: Program) -> Program:
    """A program whose library holds one photo of each colour."""
    program.add_colours()
    program.index()
    return program
