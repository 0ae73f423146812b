"""The rules of the house, checked."""

from __future__ import annotations

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import segcli

PACKAGE = Path(segcli.__file__).parent
# A room may import from its own level and below, never from above.
LEVELS = {
    "errors": 0,
    "records": 1,
    "masks": 2,
    "images": 2,
    "inputs": 3,
    "formats": 3,
    "metrics": 3,
    "models": 3,
    "config": 3,
    "predict": 4,
    "evaluate": 4,
    "report": 5,
    "cli": 6,
}
# The two jobs know nothing of each other, and a report is of results, not of predicting.
STRANGERS = ({"predict", "evaluate"}, {"predict", "report"})


def room(module: str) -> str | None:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and parts[0] == "segcli" else None


def imports_of(path: Path) -> list[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            names.append(node.module)
        elif isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
    return names


@pytest.mark.parametrize(
    "path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: str(p.relative_to(PACKAGE))
)
def test_imports_point_one_way(path: Path):
    """No module imports from a room above its own, and the two jobs stay apart."""
    own = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    if own not in LEVELS:
        return
    for name in imports_of(path):
        other = room(name)
        if other in LEVELS and other != own:
            assert LEVELS[other] <= LEVELS[own], f"{path} imports {name}"
            assert {own, other} not in STRANGERS, f"{path} imports {name}"


def test_no_module_imports_itself_round_a_corner():
    """Neither when it loads nor later does a chain of imports lead back to where it began."""
    graph = {}
    for path in PACKAGE.rglob("*.py"):
        if path.name != "__init__.py":
            name = ".".join(("segcli", *path.relative_to(PACKAGE).with_suffix("").parts))
            graph[name] = set(imports_of(path))
    assert graph["segcli.evaluate.name_hints"] & graph.keys()
    tuple(TopologicalSorter(graph).static_order())


@pytest.mark.parametrize(
    "path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: str(p.relative_to(PACKAGE))
)
def test_torch_lives_in_models_only(path: Path):
    """Torch and its kin are imported only inside models/; doctor reports on them."""
    relative = path.relative_to(PACKAGE)
    if relative.parts[0] == "models" or relative.as_posix() == "cli/doctor.py":
        return
    heavy = {"torch", "torchvision", "transformers", "timm"}
    assert not {name.split(".")[0] for name in imports_of(path)} & heavy


@pytest.mark.parametrize(
    "path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: str(p.relative_to(PACKAGE))
)
def test_files_stay_small(path: Path):
    """No file becomes a drawer: 500 lines is the alarm."""
    assert len(path.read_text(encoding="utf-8").splitlines()) < 500


@pytest.mark.parametrize(
    "arguments", [["--version"], ["--help"], ["predict", "--help"], ["eval", "--help"]]
)
def test_light_commands_load_nothing_heavy(arguments):
    """Version and help answer without torch, transformers or numpy."""
    code = (
        "import sys\n"
        "from segcli.cli.app import app\n"
        f"sys.argv = ['segcli', *{arguments!r}]\n"
        "try:\n    app()\nexcept SystemExit as e:\n    assert not e.code\n"
        "heavy = {'torch', 'transformers', 'numpy', 'scipy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_public_names():
    """__all__ names each public thing once, and every name exists."""
    assert all(hasattr(segcli, name) for name in segcli.__all__)
    assert len(set(segcli.__all__)) == len(segcli.__all__)


@pytest.mark.parametrize(
    "path", sorted(Path(__file__).parent.rglob("test_*.py")), ids=lambda p: p.name
)
def test_every_test_says_what_it_proves(path: Path):
    """Each test function has a docstring."""
    functions = [n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.FunctionDef)]
    tests = [f for f in functions if f.name.startswith("test_")]
    assert tests
    assert not [f.name for f in tests if not ast.get_docstring(f)]
