"""The Python blocks of README and docs run as written, each in a namespace of its own.

Before the blocks of a page its lines that export a loss are run, and a block that begins with the
name of a file is written to it, so that the others find them. Blocks with torch run where it is
installed.
"""

import pkgutil
import re
import shlex
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from edl_jax.export import __main__ as export

ROOT = Path(__file__).parent.parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
NOTES = [ROOT / "CONTRIBUTING.md", ROOT / "notebooks" / "README.md"]
BLOCKS = [
    pytest.param(page, block, id=f"{page.name}-{i}")
    for page in PAGES
    for i, block in enumerate(re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL))
    if '"runs/' not in block  # what a command has made: see test_commands.py
]


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Gives the directory in which a page's exported losses are."""
    directories = {}

    def directory_of(page):
        if page not in directories:
            directories[page], text = tmp_path_factory.mktemp("page"), page.read_text()
            with pytest.MonkeyPatch.context() as patch:
                patch.chdir(directories[page])
                for args in re.findall(r"^python -m edl_jax\.export (.*)$", text, re.M):
                    export.command(shlex.split(args, comments=True))
            for name, content in re.findall(
                r"```python\n# (\w+\.py)\n(.*?)```", page.read_text(), re.S
            ):
                (directories[page] / name).write_text(content)
        return directories[page]

    return directory_of


def test_there_are_blocks_to_run():
    pages = [block.values[0].name for block in BLOCKS]
    assert pages.count("README.md") >= 2
    assert pages.count("frameworks.md") >= 8


@pytest.mark.parametrize(("page", "block"), BLOCKS)
def test_the_block_runs_and_learns_if_it_measures(page, block, exported, monkeypatch):
    for package in ("torch", "keras"):
        if f"import {package}" in block:
            pytest.importorskip(package)
    monkeypatch.chdir(exported(page))
    monkeypatch.syspath_prepend(exported(page))
    namespace = {}
    try:
        exec(compile(block, page.name, "exec"), namespace)
    finally:
        for name in ("edl_base", "mine", "descent", "network"):
            sys.modules.pop(name, None)
    assert namespace.get("accuracy", 1.0) > 0.9


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_picture_and_page_that_it_names_exists(page):
    for target in re.findall(r"\]\((?!http)([^)#]+)[^)]*\)", page.read_text()):
        assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_heading_that_it_links_to_exists(page):
    text = page.read_text()
    headings = re.findall(r"^#+ (.*)$", text, re.M)
    anchors = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    assert set(re.findall(r"\]\(#([^)]+)\)", text)) <= anchors


@pytest.mark.parametrize("page", [*PAGES, *NOTES], ids=lambda page: page.name)
def test_every_file_and_every_name_of_the_package_that_it_says_exists(page):
    text = page.read_text()
    for path in re.findall(r"\b(?:edl_jax|benchmarks|tests|notebooks)/[a-z0-9_/]+\.py\b", text):
        assert (ROOT / path).exists(), path
    for name in re.findall(r"\b(?:edl_jax|benchmarks)(?:\.(?!NAME)[a-zA-Z_]\w*)+", text):
        if find_spec("torch") or not name.startswith("edl_jax.torch"):
            pkgutil.resolve_name(name)
