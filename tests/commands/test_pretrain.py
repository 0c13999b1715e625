"""The pretrain command: what it writes, that seeds decide it, and that it refuses in one line."""

import dataclasses
import functools
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edl_jax import cli, pretrain
from edl_jax.losses.loading import load_loss
from edl_jax.losses.scale import descent_scale
from edl_jax.objective.fitness import make_objective
from edl_jax.runs.interrupts import Stopped
from edl_jax.runs.options import ClusterOptions
from edl_jax.search import engine, pipeline

FILES = {
    "config.json",
    "metrics.jsonl",
    "summary.json",
    "loss.npz",
    "convergence.png",
    "loss_shape.png",
}
TINY = {"population-size": 8, "num-generations": 10, "batch-size": 32, "num-classes": 3, "width": 4}
TINY |= {"max-rise": 1}  # too short a search for a good loss


def arguments(seed, directory, **changes):
    options = TINY | {"seed": seed, "output-dir": directory} | changes
    return [text for name, value in options.items() for text in (f"--{name}", str(value))]


def environment(**changes):
    return os.environ | {"JAX_PLATFORMS": "cpu"} | changes


@pytest.fixture(scope="module", autouse=True)
def compiled_once():
    """Runs of one configuration share an engine, and with it the compiled search."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "make_evolution", functools.cache(engine.make_evolution))
        yield


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The directory of a finished run with seed 3."""
    directory = tmp_path_factory.mktemp("pretrain") / "run"
    pretrain.command(arguments(3, directory))
    return directory


def read(run, name):
    return json.loads((run / name).read_text())


# --- what a run leaves -------------------------------------------------------------------------


def test_a_run_directory_holds_exactly_what_is_promised(run):
    assert {path.name for path in run.iterdir()} == FILES
    for name in ("convergence.png", "loss_shape.png"):
        assert (run / name).read_bytes().startswith(b"\x89PNG\r\n\x1a\n")


def test_the_configuration_says_all_that_is_needed_to_run_again(run):
    config = read(run, "config.json")

    assert config.pop("command") == "pretrain"
    assert config.pop("working_dir") == os.getcwd()
    known = {field.name for field in dataclasses.fields(pretrain.PretrainConfig)}
    known -= {"seeds", "vary"}  # of many searches, each records its own
    assert config.keys() == known - {f.name for f in dataclasses.fields(ClusterOptions)}
    assert config["seed"] == 3
    assert config["population_size"] == 8
    assert config["mixture"]["graded"] > 0


def test_there_is_one_line_of_metrics_for_each_generation(run):
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]

    assert [row["generation"] for row in rows] == list(range(1, 11))
    for row in rows:
        assert row["best_fitness"] <= row["mean_fitness"]
        assert row["num_failed"] == 0
        assert {"clean_ranking", "scale_guard"} <= row.keys()
    assert 0 <= rows[-1]["held_out_discordance"] <= 1


def test_the_summary_has_figures_seed_versions_device_and_time(run):
    summary = read(run, "summary.json")

    assert summary["seed"] == 3
    assert 0 <= summary["held_out_discordance"] <= 1
    assert -1 <= summary["held_out_tau"] <= 1
    assert summary["wall_time_s"] > 0
    assert {"jax", "edl_jax", "device"} <= summary["environment"].keys()
    gradients = summary["cross_entropy_logit_gradient"]
    assert gradients.keys() == summary["logit_gradient"].keys()
    assert gradients["0.5"] == -0.5


def test_the_loss_of_a_run_can_be_used_and_says_how_it_was_made(run):
    loss = load_loss(run)
    losses = loss(jnp.array([[2.0, 0.0, 1.0, 0.0]]), jnp.array([0]))

    assert losses.shape == (1,)
    assert np.isfinite(losses).all()
    assert dataclasses.astuple(loss.spec) == ("symmetric", 4, 3)
    assert loss.provenance["config"]["seed"] == 3
    assert loss.provenance["environment"] == read(run, "summary.json")["environment"]
    figures, summary = loss.provenance["figures"], read(run, "summary.json")
    assert figures == {name: summary[name] for name in figures}
    assert figures["scale"] == float(loss.scale)
    assert descent_scale(loss, num_classes=3) == pytest.approx(1.0, rel=1e-3)


def test_another_seed_gives_another_loss(run, tmp_path, capsys):
    pretrain.command(arguments(1, tmp_path / "run"))
    out = capsys.readouterr().out

    other = load_loss(tmp_path / "run")
    for name, array in load_loss(run).params.items():
        assert not np.allclose(other.params[name], array)
    assert "held-out discordance" in out
    assert "edl_jax.load_loss" in out


WITHOUT_DATA = """
import sys
for name in ("tensorflow_datasets", "tensorflow", "array_record"):
    sys.modules[name] = None
from edl_jax import cli, pretrain
cli.main(pretrain.command)
opened = {"edl_jax.training.data", "edl_jax.training", "edl_jax.transfer"} & sys.modules.keys()
assert not opened, opened
"""


def test_pretraining_opens_no_data_set_and_the_seed_alone_decides_the_bytes(run, tmp_path):
    """In another process, where no data set could be read, the artifact is bit-identical."""
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", WITHOUT_DATA, *arguments(3, tmp_path / "run")],
        capture_output=True,
        text=True,
        check=False,
        env=environment(),
    )

    assert result.returncode == 0, result.stderr
    assert (tmp_path / "run" / "loss.npz").read_bytes() == (run / "loss.npz").read_bytes()
    assert (tmp_path / "run" / "metrics.jsonl").read_text() == (run / "metrics.jsonl").read_text()


# --- going on ----------------------------------------------------------------------------------

STOPS = """
import os, signal, sys
from edl_jax import cli, pretrain
from edl_jax.runs import RunDirectory
log, stop = RunDirectory.log, getattr(signal, sys.argv.pop())
signal.signal(stop, signal.SIG_DFL)  # the tests may have been started to ignore it
def log_and_stop(run, **row):
    log(run, **row)
    if row["generation"] == 30:
        os.kill(os.getpid(), stop)
RunDirectory.log = log_and_stop
cli.main(pretrain.command)
"""


@pytest.mark.parametrize(("name", "status"), [("SIGTERM", 143), ("SIGINT", 130), ("SIGHUP", 129)])
def test_a_run_that_is_stopped_and_resumed_ends_bit_identical(tmp_path, read_events, name, status):
    """The signal comes inside a chunk of 45 generations, which is finished.

    The run that is stopped writes event files for TensorBoard, and goes on with them unasked.
    """
    whole, directory = tmp_path / "whole", tmp_path / "run"
    pretrain.command(arguments(3, whole, **{"num-generations": 90}))
    result = subprocess.run(
        [
            *(sys.executable, "-c", STOPS, "--tensorboard"),
            *(*arguments(3, directory, **{"num-generations": 90}), name),
        ],
        capture_output=True,
        text=True,
        check=False,
        env=environment(),
    )
    command = f"python -m edl_jax.pretrain --resume --output-dir {directory}"
    assert result.stderr == f"stopped by {name}; resume with: {command}\n"
    assert result.returncode == status
    assert len((directory / "metrics.jsonl").read_text().splitlines()) == 45
    assert not (directory / "loss.npz").exists()
    # What a run that was killed leaves of the lines after its checkpoint is not kept.
    with open(directory / "metrics.jsonl", "a") as file:
        file.write('{"generation": 46, "best_f')

    pretrain.command(["--resume", "--output-dir", str(directory)])
    assert {path.name for path in directory.iterdir()} == FILES | {"tensorboard"}
    for file in ("loss.npz", "metrics.jsonl", "config.json", "convergence.png"):
        assert (directory / file).read_bytes() == (whole / file).read_bytes()
    rows = [json.loads(line) for line in (whole / "metrics.jsonl").read_text().splitlines()]
    events = read_events(directory / "tensorboard")
    assert [step for _, step, _ in events] == [row.pop("generation") for row in rows]
    assert [values for *_, values in events] == [pytest.approx(row) for row in rows]


def test_a_run_without_a_checkpoint_begins_anew(run, tmp_path, monkeypatch):
    def stop(*args):
        raise Stopped(15, "")

    with monkeypatch.context() as patch, pytest.raises(Stopped):
        patch.setattr("edl_jax.runs.RunDirectory.position", stop)
        pretrain.command([*arguments(3, tmp_path / "run"), "--checkpoint-every", "0"])
    pretrain.command(["--resume", "--output-dir", str(tmp_path / "run")])

    for name in ("loss.npz", "metrics.jsonl"):
        assert (tmp_path / "run" / name).read_bytes() == (run / name).read_bytes()


def test_resuming_a_run_that_was_killed_after_its_results_tidies_up(run, tmp_path):
    killed = tmp_path / "run"
    shutil.copytree(run, killed)
    (killed / "checkpoint-6" / "0").mkdir(parents=True)
    (killed / "checkpoint.json").write_text("{}")
    pretrain.command(["--resume", "--output-dir", str(killed)])

    assert not list(killed.glob("checkpoint*"))
    assert snapshot(killed) == snapshot(run)


def test_resuming_a_finished_run_says_so_and_touches_nothing(run, capsys):
    before = snapshot(run)
    pretrain.command(["--resume", "--output-dir", str(run)])

    assert capsys.readouterr().out == f"{run}: this run is finished, there is nothing to resume\n"
    assert snapshot(run) == before


def test_overwriting_leaves_nothing_of_the_run_before(run, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    (tmp_path / "run" / "notes.txt").write_text("mine")
    pretrain.command([*arguments(1, tmp_path / "run"), "--overwrite"])

    assert read(tmp_path / "run", "config.json")["seed"] == 1
    assert {path.name for path in (tmp_path / "run").iterdir()} == {*FILES, "notes.txt"}


def test_candidates_and_generations_that_fail_are_reported(tmp_path, monkeypatch, capsys):
    """Of the first generations none has a finite fitness, and the log has no NaN."""

    def failing(config, **given):
        objective = make_objective(config)
        dead = objective._replace(
            sample=lambda key: (objective.sample(key), jax.random.uniform(key)),
            evaluate=lambda loss, problem: (
                jnp.where(problem[1] < 0.5, jnp.nan, objective.evaluate(loss, problem[0])[0]),
                objective.evaluate(loss, problem[0])[1],
            ),
        )
        return engine.make_evolution(config, dead, **given)

    monkeypatch.setattr(pipeline, "make_evolution", failing)
    pretrain.command(arguments(3, tmp_path / "run"))

    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    rows = [json.loads(line, parse_constant=pytest.fail) for line in lines]
    dead = [row for row in rows if row["num_failed"] == 8]
    assert 0 < len(dead) < len(rows)
    assert all(row["best_fitness"] is None and row["mean_fitness"] is None for row in dead)
    summary = read(tmp_path / "run", "summary.json")
    assert summary["failed_generations"] == len(dead)
    assert summary["failed_candidates"] == 8 * len(dead)
    assert f"in {len(dead)} generations for all" in " ".join(capsys.readouterr().out.split())


# --- an output that nobody reads ----------------------------------------------------------------


def test_a_closed_pipe_neither_stops_a_search_nor_loses_its_loss(run, tmp_path):
    args = " ".join(arguments(3, "a[bold]x/[/lr=1]"))
    line = f'"$0" -m edl_jax.pretrain {args} | head -n 1; exit ${{PIPESTATUS[0]}}'
    result = subprocess.run(
        ["bash", "-c", line, sys.executable],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env=environment(PYTHONPATH=os.getcwd(), PYTHONIOENCODING="latin-1"),
    )

    assert (result.returncode, result.stderr) == (141, "")
    assert result.stdout == "Evolving base, seed 3, into a[bold]x/[/lr=1]\n"
    directory = tmp_path / "a[bold]x" / "[" / "lr=1]"
    assert {path.name for path in directory.iterdir()} == FILES
    assert (directory / "loss.npz").read_bytes() == (run / "loss.npz").read_bytes()


# --- presets -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", pretrain.PRESETS)
def test_every_preset_is_a_search_that_runs(name):
    preset = pretrain.PRESETS[name]
    rehearsal = dataclasses.replace(
        preset.rehearsal, regimes=preset.rehearsal.regimes[:1], num_tasks=1, rates=(1.0,)
    )
    config = dataclasses.replace(
        pretrain.evolution_config(preset),
        population_size=8,
        batch_size=64,
        width=4,
        num_classes=3,
        rehearsal=rehearsal,
    )
    evolution = engine.make_evolution(config)
    # This key's generator compiles in a fraction of the time of the default one's.
    _, info = evolution.run(evolution.init(jax.random.key(0, impl="unsafe_rbg")), 2)

    assert preset.preset == name
    assert np.isfinite(info.best_fitness).all()


def test_the_presets_are_what_their_names_say():
    presets = pretrain.PRESETS

    assert (presets["paper"].network, presets["paper"].mutation) == ("concat", "chaotic")
    assert presets["paper"].objective.proper_ranking == 0
    assert presets["robust"].objective.rehearsal > 0
    assert {"long_noisy", "many_noisy", "two_noisy"} <= {*presets["robust"].rehearsal.regimes}
    quick, base = presets["quick"], presets["base"]
    assert quick.population_size * quick.num_generations < (
        base.population_size * base.num_generations / 3
    )
    assert pretrain.PretrainConfig() == base


# --- chunks ------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=200)
@given(st.integers(1, 5000), st.integers(1, 100))
def test_chunks_add_up_and_share_a_length(num_generations, longest):
    sizes = list(pipeline.chunk_sizes(num_generations, longest))

    assert sum(sizes) == num_generations
    assert all(1 <= size <= longest for size in sizes)
    assert len(set(sizes[:-1])) <= 1
    assert sizes[-1] <= sizes[0]
    # Not needlessly many: as if none were shorter than half.
    assert len(sizes) <= -(-num_generations // max(1, longest // 2))


@pytest.mark.parametrize("num_generations", [600, 150, 90, 50, 7, 1])
def test_a_number_with_a_suitable_divisor_needs_one_compilation(num_generations):
    assert len(set(pipeline.chunk_sizes(num_generations))) == 1


# --- what is refused ---------------------------------------------------------------------------

BAD = {
    "unknown strategy": (["--strategy", "Adam"], "--strategy Adam: expected one of ES"),
    "no population": (["--population-size", "0"], "--population-size 0: expected a whole number"),
    "negative step size": (["--step-size", "-0.1"], "--step-size -0.1: expected a number"),
    "step size NaN": (["--step-size", "nan"], "--step-size nan: expected a number"),
    "negative seed": (["--seed", "-1"], "--seed -1: expected a whole number from 0"),
    "unknown preset": (["--preset", "best"], "--preset best: expected one of base"),
    "unknown option": (["--populaton-size", "8"], "--populaton-size"),
    "text for a number": (["--num-generations", "many"], "'many'"),
    "fraction for a whole number": (["--num-generations", "1.5"], "'1.5'"),
    "option without its value": (["--width"], "--width"),
    "stray word": (["fast"], "fast"),
    "unknown network": (["--network", "mlp"], "mlp"),
    "nearly a network": (
        ["--network", "symetric"],
        "monotone, or FILE.py:NAME of your own; did you mean symmetric?",
    ),
    "nearly a strategy": (["--strategy", "CMA-ES"], "; did you mean CMA_ES?"),
    "noise above 1": (["--objective.label-noise", "2"], "--objective.label-noise 2.0: expected"),
    "negative weight": (["--mixture.graded", "-1"], "--mixture.graded -1.0: expected"),
    "odd Open_ES": (
        ["--strategy", "Open_ES", "--population-size", "7"],
        "--population-size 7: expected an even number",
    ),
    "output below a file": (["--output-dir", "file/run"], "--output-dir file/run: expected"),
    "output is a file": (["--output-dir", "file"], "--output-dir file: expected"),
    "output holds a run": (["--output-dir", "mine"], "or --resume, or --overwrite"),
    "output holds something else": (["--output-dir", "old"], "is empty, or holds a run of this"),
    "output to overwrite holds something else": (
        ["--output-dir", "old", "--overwrite"],
        "is empty, or holds a run of this",
    ),
    "output without a name": (["--output-dir", ""], "--output-dir '': expected a path"),
    "output without a name, in one": (["--output-dir="], "--output-dir '': expected a path"),
    "resume without a name": (["--resume", "--output-dir="], "--output-dir '': expected a path"),
    "resume without a directory": (["--resume"], "--resume: expected --output-dir"),
    "resume of nothing": (
        ["--resume", "--output-dir", "new"],
        "--output-dir new: expected a directory that holds a run of pretrain",
    ),
    "resume of another command's run": (["--resume", "--output-dir", "old"], "a run of pretrain"),
    "resume and overwrite": (
        ["--resume", "--overwrite", "--output-dir", "mine"],
        "--overwrite with --resume: expected one of the two",
    ),
    "resume with another option": (
        ["--resume", "--output-dir", "mine", "--seed", "2"],
        "--seed 2: expected 1 as in the run",
    ),
    "resume with another nested option": (
        ["--resume", "--output-dir=mine", "--mixture.graded", "0.7"],
        "--mixture.graded 0.7: expected 0.15 as in the run",
    ),
    "resume of a garbled run": (
        ["--resume", "--output-dir", "bad"],
        "bad/config.json: Error parsing --width",
    ),
    "a start that is no loss": (["--start", "nothing"], "nothing: no such loss"),
    "a start of another network": (
        ["--start", "edl-base", "--network", "taylor"],
        "--start edl-base: expected a loss of network taylor, width 16",
    ),
    "checkpoints in the past": (["--checkpoint-every", "-1"], "--checkpoint-every -1.0: expected"),
    "bad option beside a good directory": (
        ["--output-dir", "new", "--width", "0"],
        "--width 0: expected",
    ),
}


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """A working directory with a file and a directory that holds a run."""
    (tmp_path / "file").write_text("mine")
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "config.json").write_text("{}")
    for name, changes in (("mine", {"seed": 1}), ("bad", {"width": "wide"})):
        (tmp_path / name).mkdir()
        content = {"command": "pretrain", **pretrain.PretrainConfig().recorded(), **changes}
        (tmp_path / name / "config.json").write_text(json.dumps(content))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def snapshot(directory):
    return {
        path.relative_to(directory): path.read_bytes() if path.is_file() else None
        for path in directory.rglob("*")
    }


@pytest.mark.parametrize(("args", "said"), BAD.values(), ids=BAD)
def test_a_bad_option_is_one_line_and_status_2_and_leaves_nothing(workplace, capsys, args, said):
    before = snapshot(workplace)
    with pytest.raises(SystemExit) as stop:
        cli.main(functools.partial(pretrain.command, args))
    out, err = capsys.readouterr()

    assert stop.value.code == 2
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert said in err
    assert snapshot(workplace) == before


@pytest.mark.parametrize("args", [["--population-size", "0"], ["--seed", "x"]], ids=" ".join)
def test_a_bad_option_of_the_real_command_is_one_line_too(workplace, args):
    result = subprocess.run(
        [sys.executable, "-m", "edl_jax.pretrain", *args],
        capture_output=True,
        text=True,
        check=False,
        env=environment(),
    )

    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert args[0] in result.stderr
    assert Path("runs").exists() is False


def test_help_names_every_option_and_needs_no_jax():
    code = (
        "import sys\n"
        "from edl_jax import pretrain\n"
        "try:\n"
        "    pretrain.command(['--help'])\n"
        "finally:\n"
        "    heavy = {'jax', 'numpy', 'evosax', 'matplotlib'} & sys.modules.keys()\n"
        "    assert not heavy, heavy\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment()
    )

    assert result.returncode == 0, result.stderr
    for field in dataclasses.fields(pretrain.PretrainConfig):
        option = field.name.replace("_", "-")
        assert f"--{option}" in result.stdout
    assert "--objective.label-noise FLOAT" in result.stdout
    assert "(default: 600)" in result.stdout
