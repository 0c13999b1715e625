"""The architecture page and the reference name what is in the tree, all of it and nothing else."""

import re
import runpy
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
DOCS, HOUSE = ROOT / "docs", ROOT / "edl_jax"
PAGE = (DOCS / "architecture.md").read_text()
WINGS = {face.parent.name for face in HOUSE.glob("*/__init__.py")}
HALL = {path.stem for path in HOUSE.glob("[!_]*.py")}


def modules_of(wing):
    return {path.stem for path in (HOUSE / wing).glob("*.py")} - {"__init__", "__main__"}


def test_the_table_has_every_wing_with_all_its_modules():
    rows = re.findall(r"^\| `(\w+)` \| .* \| (.*) \|$", PAGE, re.MULTILINE)
    said = {wing: set(re.findall(r"`(\w+)`", modules)) for wing, modules in rows}
    assert said == {wing: modules_of(wing) for wing in WINGS}


def test_it_names_every_module_of_the_hall():
    _, hall = PAGE.split("In the hall stand")
    named = re.findall(r"`(\w+)`", hall.split("\n\n")[0])
    assert HALL - set(named) == set()


def test_the_walk_passes_modules_that_exist_and_every_wing_that_a_run_needs():
    passed = set(re.findall(r"`edl_jax\.([\w.]+)`", PAGE))
    for name in passed:
        path = HOUSE.joinpath(*name.split("."))
        assert path.with_suffix(".py").is_file() or (path / "__init__.py").is_file(), name
    assert {name.partition(".")[0] for name in passed} >= WINGS - {"export", "suspects", "torch"}


def test_the_picture_of_the_floors_is_drawn_from_the_contract():
    drawn = runpy.run_path(str(DOCS / "floors.py"))["picture"]()
    assert (DOCS / "floors.svg").read_text() == drawn, "run: python docs/floors.py"


def test_the_reference_shows_every_module_once():
    pages = [path.read_text() for path in (DOCS / "api").glob("*.md")]
    shown = [name for page in pages for name in re.findall(r"^::: edl_jax\.(.*)$", page, re.M)]
    modules = {f"{wing}.{name}" for wing in WINGS for name in modules_of(wing)}
    commands = {"__main__"} | {
        f"{path.parent.name}.__main__" for path in HOUSE.glob("*/__main__.py")
    }
    assert sorted(shown) == sorted(WINGS | HALL | modules | commands)
