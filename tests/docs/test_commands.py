"""Every command of README and docs runs as written, without the network and without data.

The lines of a page's ``bash`` blocks are run in the order of the page, in one directory, and
between them the ``python`` blocks that write what they read, or read what they write. What a
comment says to take minutes or hours, or to need something, is parsed only.
"""

import importlib
import re
import shlex
from pathlib import Path

import pytest

from benchmarks.common.pages import ROOT
from edl_jax import cli
from edl_jax.__main__ import COMMANDS

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
CONFIGS = {
    "pretrain": ("edl_jax.search.presets", "PretrainConfig"),
    "transfer": ("edl_jax.transfer", "TransferConfig"),
    "suspects": ("edl_jax.suspects.__main__", "SuspectsConfig"),
    "analyze": ("edl_jax.analyze", "AnalyzeConfig"),
    "report": ("edl_jax.report.__main__", "ReportConfig"),
    "export": ("edl_jax.export.__main__", "ExportConfig"),
}
LONG = re.compile(r"#.*\b(minutes?|hours?|needs)\b")
# What a test does not do: install, open a browser or a server, run all tests, download.
OTHERS = ("pip install ", "mkdocs serve", "tensorboard --logdir", "pytest", "python -c ")


def blocks_of(page):
    return re.findall(r"```(bash|python)\n(.*?)```", page.read_text(), re.DOTALL)


def commands_of(block):
    for line in block.replace("\\\n", " ").splitlines():
        if not line.startswith("#"):
            yield from (part.strip() for part in line.split(" && ") if part.strip())


def lines_of(page):
    for language, block in blocks_of(page):
        if language == "bash":
            yield from commands_of(block)


WITH_COMMANDS = [page for page in PAGES if any("python -m" in line for line in lines_of(page))]


def test_there_are_commands():
    assert {"README.md", "index.md", "your_data.md", "suspects.md"} <= {
        page.name for page in WITH_COMMANDS
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_each_line_is_a_command_that_is_known(page):
    extras = (ROOT / "pyproject.toml").read_text()
    for line in lines_of(page):
        assert line.startswith(("python -m edl_jax.", "python -m benchmarks.", *OTHERS)), line
        for extra in re.findall(r'pip install -e "\.\[(\w+)\]"', line):
            assert f"\n{extra} = [" in extras


@pytest.mark.parametrize("page", WITH_COMMANDS, ids=lambda page: page.name)
def test_the_commands_run_as_written(page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    for language, block in blocks_of(page):
        if language == "bash":
            for line in commands_of(block):
                # The site's first page shows some of the README's once more.
                if page.name != "index.md" or line not in lines_of(PAGES[0]):
                    run(line)
        elif name := re.match(r"# (\w+\.py)\n", block):
            Path(name[1]).write_text(block)
        elif re.search(r"np\.save\w+\(", block) or '"runs/' in block:
            exec(compile(block, page.name, "exec"), {})
    capsys.readouterr()


def run(line):
    if line.startswith(OTHERS):
        return
    module, *args = shlex.split(line, comments=True)[2:]
    if module.startswith("benchmarks."):
        parse_benchmark(module, args)
        return
    command = module.removeprefix("edl_jax.")
    if LONG.search(line):
        where, name = CONFIGS[command]
        cli.parse(getattr(importlib.import_module(where), name), args, prog=f"python -m {module}")
        return
    importlib.import_module(COMMANDS[command][0]).command(args)


def parse_benchmark(module, args):
    assert importlib.util.find_spec(module) is not None, module
    if module.endswith((".table", ".claims")):
        assert not args
        return
    config = importlib.import_module(f"{module}.config")
    (kind,) = (
        value
        for name, value in vars(config).items()
        if name.endswith("Config") and value.__module__ == config.__name__
    )
    cli.parse(kind, args, prog=f"python -m {module}")
