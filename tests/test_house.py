"""The house: how much a module holds, and what stands outside the wings.

That imports point down and never in a circle is checked by ``lint-imports``.
"""

import tokenize
from pathlib import Path

import grimp
import pytest

from tests.conftest import SLOW

ROOT = Path(__file__).parent.parent
HOUSE = ROOT / "edl_jax"
MODULES = sorted(HOUSE.rglob("*.py"))


def uses_of_any(path):
    """How often a module says ``Any``, its imports not counted."""
    with path.open("rb") as file:
        tokens = list(tokenize.tokenize(file.readline))
    used = [token for token in tokens if token.string == "Any"]
    return sum(not token.line.startswith(("from ", "import ")) for token in used)


def test_every_module_is_short_enough_to_be_read_at_once():
    lines = {path.relative_to(HOUSE): len(path.read_text().splitlines()) for path in MODULES}
    assert {path: number for path, number in lines.items() if number > 350} == {}


def test_few_modules_stand_outside_the_wings():
    assert 11 <= len(list(HOUSE.glob("*.py"))) <= 13


def test_any_stands_only_where_a_type_is_really_open():
    uses = {str(path.relative_to(HOUSE)): uses_of_any(path) for path in MODULES}
    assert sum(uses.values()) < 80, {name: number for name, number in uses.items() if number}


@pytest.mark.parametrize("package", ["edl_jax", "benchmarks"])
def test_no_module_imports_the_face_of_its_own_wing(package):
    graph = grimp.build_graph(package, exclude_type_checking_imports=True, cache_dir=None)
    circles = [
        f"{module} imports {imported}"
        for module in graph.modules
        for imported in graph.find_modules_directly_imported_by(module)
        if module.startswith(f"{imported}.") and not module.endswith(".__main__")
    ]
    assert circles == []


@pytest.mark.parametrize("slow", SLOW)
def test_what_is_called_slow_is_there(slow):
    path, _, name = slow.partition("::")
    assert name.rpartition(".")[2] in (ROOT / path).read_text()
