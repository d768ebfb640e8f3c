"""The README's picture of helpers/ is true: it names every module, and a module imports only from lower floors."""

import ast
import re

import pytest
from conftest import ROOT

ROW = re.compile(r"^\| (\d) \| (`.*?`) \|", re.MULTILINE)
FLOORS = {
    module: int(floor)
    for floor, modules in ROW.findall((ROOT / "README.md").read_text())
    for module in re.findall(r"`(\w+)`", modules)
}
MODULES = sorted(path.stem for path in (ROOT / "helpers").glob("*.py") if path.stem != "__init__")


def imports(module):
    """Names of the helpers that a module imports, at its top or inside a function."""
    for node in ast.walk(ast.parse((ROOT / "helpers" / f"{module}.py").read_text())):
        if isinstance(node, ast.ImportFrom) and node.module == "helpers":
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("helpers."):
            yield node.module.removeprefix("helpers.")


def test_every_module_has_a_floor():
    assert sorted(FLOORS) == MODULES


@pytest.mark.parametrize("module", MODULES)
def test_imports_go_down(module):
    wrong = [name for name in imports(module) if FLOORS[name] >= FLOORS[module]]
    assert not wrong, f"{module} (floor {FLOORS[module]}) imports {wrong}"
