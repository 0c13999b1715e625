"""``edl-jax``: the commands under one name, and what it says without one."""

import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

import edl_jax
from edl_jax.__main__ import COMMANDS, main

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def console(monkeypatch, capsys):
    """Runs ``edl-jax`` and gives its status, stdout and stderr."""

    def run(*args):
        monkeypatch.setattr(sys, "argv", ["/somewhere/bin/edl-jax", *args])
        try:
            main()
        except SystemExit as stop:
            return (stop.code, *capsys.readouterr())
        return (0, *capsys.readouterr())

    return run


@pytest.mark.parametrize("args", [(), ("--help",), ("-h",)])
def test_it_lists_its_commands_in_a_few_lines(console, args):
    status, out, err = console(*args)

    assert (status, err) == (0, "")
    listed = [line.split()[0] for line in out.splitlines() if line.startswith("  ")]
    assert listed == list(COMMANDS)
    assert out.count("\n") < 10


def test_every_command_is_the_module_of_its_name():
    for name, (module, _) in COMMANDS.items():
        prog = import_module(module).PROG
        assert prog == f"python -m edl_jax.{name}"
        assert module in (f"edl_jax.{name}", f"edl_jax.{name}.__main__")


def test_it_says_its_version(console):
    assert console("--version") == (0, f"edl-jax {edl_jax.__version__}\n", "")


@pytest.mark.parametrize(
    ("typed", "meant"), [("pretrian", "pretrain"), ("analyse", "analyze"), ("--helf", None)]
)
def test_an_unknown_command_is_one_line_that_suggests_the_nearest(console, typed, meant):
    suggestion = f"; did you mean {meant}?" if meant else ""
    expected = "pretrain, transfer, suspects, analyze, report, export"
    line = f"error: {typed}: expected one of {expected}{suggestion}\n"
    assert console(typed) == (2, "", line)


def test_an_option_that_a_command_does_not_have_names_the_program_as_typed(console):
    status, out, err = console("pretrain", "--sede", "3")

    assert (status, out) == (2, "")
    assert "--sede" in err
    assert err.endswith("(see edl-jax pretrain --help)\n")


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_a_command_names_the_program_as_typed_and_loads_no_jax(name):
    code = (
        "import sys\n"
        "from edl_jax.__main__ import main\n"
        f"sys.argv = ['edl-jax', {name!r}, '--help']\n"
        "try:\n"
        "    main()\n"
        "finally:\n"
        "    heavy = {'jax', 'numpy', 'flax', 'plotly', 'matplotlib'} & sys.modules.keys()\n"
        "    assert not heavy, heavy\n"
    )
    run = [sys.executable, "-c", code]
    result = subprocess.run(run, capture_output=True, text=True, check=False)

    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith(f"usage: edl-jax {name} ")


def test_python_runs_the_package_like_the_script(tmp_path):
    run = [sys.executable, "-m", "edl_jax", "--version"]
    result = subprocess.run(run, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert result.stdout == f"edl-jax {edl_jax.__version__}\n"


def test_the_package_installs_the_script_and_says_its_version_once():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["project"]["scripts"] == {"edl-jax": f"{main.__module__}:{main.__name__}"}
    assert "version" not in project["project"]
    assert f"\nversion: {edl_jax.__version__}\n" in (ROOT / "CITATION.cff").read_text()
