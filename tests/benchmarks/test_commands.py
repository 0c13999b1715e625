"""What all commands of the benchmarks have in common."""

import importlib
import subprocess
import sys

import pytest

from edl_jax import cli

BAD_OPTIONS = {
    "chaos": ["--orbits=0", "--steps=1500"],
    "faults": ["--kills=1"],
    "mutation_strategies": ["--problems=x", "--num-seeds=1", "--jobs=0"],
    "rehearsal": ["--regimes=x", "--kinds=x", "--num-tasks=0", "--minutes=-1"],
    "throughput": ["--implementations=x", "--population-sizes=5", "--repeats=0", "--seconds=0"],
    "training_step": ["--models=x", "--width=0", "--repeats=0", "--steps=0"],
    "transfer_losses": ["--setting=x", "--noise=1.5", "--noise=b", "--seeds=1000", "--jobs=0"],
}
EACH = [(name, option) for name, options in BAD_OPTIONS.items() for option in options]


@pytest.mark.parametrize(("benchmark", "option"), EACH)
def test_a_bad_option_is_one_line_and_status_2(benchmark, option, capsys):
    command = importlib.import_module(f"benchmarks.{benchmark}.__main__").command
    with pytest.raises(SystemExit) as stop:
        cli.main(lambda: command([option]))

    assert stop.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert option.partition("=")[0] in line


@pytest.mark.parametrize("benchmark", BAD_OPTIONS)
def test_help_names_the_command_and_needs_no_jax(benchmark):
    code = (
        "import sys\n"
        f"from benchmarks.{benchmark}.__main__ import command\n"
        "try:\n"
        "    command(['--help'])\n"
        "finally:\n"
        "    assert 'jax' not in sys.modules\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )

    assert (result.returncode, result.stderr) == (0, "")
    assert f"usage: python -m benchmarks.{benchmark} " in result.stdout
