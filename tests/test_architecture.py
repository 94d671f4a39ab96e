"""The walls of the house: imports point down, heavy packages stay in their rooms."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import clipsearch

PACKAGE = Path(clipsearch.__file__).parent

# Layers from the top down; a room may import from lower layers and from itself.
LAYERS: list[set[str]] = [
    {"cli"},
    {
        "indexing",
        "searching",
        "classifying",
        "teaching",
        "finetuning",
        "evaluating",
        "checking",
        "demonstrating",
        "maintaining",
        "tracing",
    },
    {
        "library",
        "photos",
        "query",
        "prompts",
        "labels",
        "encoders",
        "concepts",
        "pairs",
        "training",
    },
    {"ranking", "metrics"},
    {"storage"},
    {"devices"},
    {"types", "errors", "percent", "failpoints"},
]
HEAVY = {"torch", "torchvision", "open_clip", "timm", "transformers"}
HEAVY_ROOMS = (
    "devices",
    "encoders/openclip",
    "encoders/originals",
    "encoders/exporting",
    "encoders/tokenizing",
    "encoders/bulk_torch",
    "encoders/towers_torch",
    "encoders/vit_torch",
    "training/",
)
# Modules that are torch through and through: others import them only when torch is wanted.
TORCH_MODULES = ("encoders/bulk_torch", "encoders/towers_torch", "encoders/vit_torch", "training/")
PRINTING_ROOM = "cli/"
ENTRANCES = {Path("__init__.py"), Path("__main__.py")}


def modules() -> list[Path]:
    return sorted(path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py"))


def room_of(module: Path) -> str:
    return module.parts[0].removesuffix(".py")


def layer_of(room: str) -> int:
    for number, rooms in enumerate(LAYERS):
        if room in rooms:
            return number
    raise AssertionError(f"{room} has no layer: give it one in LAYERS and in README")


def imports(module: Path) -> Iterator[tuple[str, bool]]:
    """(absolute module name, whether it runs at import time)."""
    tree = ast.parse((PACKAGE / module).read_text())
    top = {id(node) for node in tree.body}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, id(node) in top
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: relative import"
            assert node.module is not None
            yield node.module, id(node) in top
            if node.module == "clipsearch":
                for alias in node.names:
                    yield f"clipsearch.{alias.name}", id(node) in top


@pytest.mark.parametrize("module", modules(), ids=str)
def test_imports_point_down(module: Path) -> None:
    if module in ENTRANCES:
        return
    room = room_of(module)
    for name, _ in imports(module):
        parts = name.split(".")
        if parts[0] != "clipsearch" or len(parts) == 1 or parts[1] == "__version__":
            continue
        target = parts[1]
        if target == room:
            continue
        assert layer_of(target) > layer_of(room), f"{module} imports {name}: not downwards"


@pytest.mark.parametrize("module", modules(), ids=str)
def test_heavy_packages_stay_in_their_rooms(module: Path) -> None:
    for name, at_import in imports(module):
        package = name.split(".")[0]
        if package in HEAVY:
            assert module.as_posix().startswith(HEAVY_ROOMS), f"{module} imports {name}"
            if not module.as_posix().startswith(TORCH_MODULES):
                assert not at_import, f"{module} imports {name} at import time"


@pytest.mark.parametrize("module", modules(), ids=str)
def test_only_the_command_line_prints_exits_or_knows_typer(module: Path) -> None:
    if module.as_posix().startswith(PRINTING_ROOM) or module.name == "__main__.py":
        return
    tree = ast.parse((PACKAGE / module).read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in {"print", "exit", "quit"}, f"{module}:{node.lineno}"
    for name, _ in imports(module):
        assert name.split(".")[0] not in {"typer", "rich", "click"}, f"{module} imports {name}"


def test_every_room_has_a_layer() -> None:
    for module in modules():
        if module not in ENTRANCES:
            layer_of(room_of(module))
