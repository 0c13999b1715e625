"""Many searches from one command: which they are, where they go, and that it can be repeated."""

import json
import shutil
from pathlib import Path

import pytest

import edl_jax
from edl_jax import pretrain
from edl_jax.errors import EdlError, OptionError
from edl_jax.search import sweep
from edl_jax.search.presets import PretrainConfig
from tests import own_parts

TINY = ["--population-size", "8", "--num-generations", "4", "--batch-size", "32", "--max-rise", "1"]
TINY += ["--num-classes", "3", "--width", "4"]


def runs(**changes):
    return sweep.runs(PretrainConfig(**changes), pretrain.PROG)


def test_every_combination_is_searched_with_every_seed(tmp_path):
    found = runs(
        output_dir=tmp_path,
        seeds=(3, 5),
        vary=("strategy=ES,SNES", "--objective.margin=0.1", "more_classes=2 100"),
        batch_size=128,
    )

    one = found[1]
    assert [run.strategy for run in found] == ["ES", "ES", "SNES", "SNES"]
    assert (one.seed, one.objective.margin, one.more_classes, one.batch_size) == (
        *(5, 0.1),
        *((2, 100), 128),
    )
    name = "strategy=ES,objective.margin=0.1,more-classes=2 100"
    assert one.output_dir == tmp_path / name / "seed-5"
    assert {(run.seeds, run.vary) for run in found} == {((), ())}


def test_without_anything_varied_the_seeds_are_the_directories(tmp_path):
    assert [run.output_dir for run in runs(output_dir=tmp_path, seeds=(0, 1))] == [
        tmp_path / "seed-0",
        tmp_path / "seed-1",
    ]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"seeds": (0,)}, "output_dir : expected a directory, with seeds or vary"),
        (
            {"vary": ("strategy",), "output_dir": Path("x")},
            "vary strategy: expected NAME=VALUE,VALUE",
        ),
        ({"vary": ("width=4,",), "output_dir": Path("x")}, "vary width=4,: expected NAME=VALUE"),
        ({"vary": ("widht=4",), "output_dir": Path("x")}, "did you mean width?"),
        ({"vary": ("seed=1,2",), "output_dir": Path("x")}, "vary seed: expected one of strategy"),
        ({"vary": ("output_dir=a,b",), "output_dir": Path("x")}, "vary output_dir: expected one"),
        ({"vary": ("--preset=base",), "output_dir": Path("x")}, "vary preset: expected one of"),
        ({"vary": ("width=4,4",), "output_dir": Path("x")}, "each option and value once"),
        (
            {"vary": ("step_size=1,2", "step-size=3"), "output_dir": Path("x")},
            "each option and value once",
        ),
        (
            {"vary": ("start=a/b,a_b",), "output_dir": Path("x")},
            "values that give each search its own directory",
        ),
        ({"vary": ("width=0",), "output_dir": Path("x")}, "width 0: expected a whole number"),
        (
            {"seeds": (0,), "output_dir": Path("x"), "overwrite": True},
            "the same command again to go on",
        ),
    ],
)
def test_a_sweep_that_cannot_be_run_is_one_line(tmp_path, monkeypatch, changes, said):
    monkeypatch.chdir(tmp_path)

    with pytest.raises(EdlError) as refusal:
        runs(**changes)

    assert said in str(refusal.value) and "\n" not in str(refusal.value)
    assert list(tmp_path.iterdir()) == []


def test_seeds_are_those_of_a_configuration_each_once():
    with pytest.raises(OptionError, match="seeds 1 1: expected each seed once"):
        PretrainConfig(seeds=(1, 1))
    with pytest.raises(OptionError, match="seed -1"):
        PretrainConfig(seeds=(-1,))


def test_a_sweep_runs_goes_on_with_what_is_missing_and_is_read_as_rows(tmp_path, capsys):
    args = [*TINY, "--seeds", "0", "1", "--vary", "step_size=0.1,0.2", "--output-dir"]
    pretrain.command([*args, str(tmp_path / "sweep")])
    whole = (tmp_path / "sweep" / "step-size=0.2" / "seed-1" / "loss.npz").read_bytes()
    (tmp_path / "sweep" / "step-size=0.2" / "seed-1" / "summary.json").unlink()
    capsys.readouterr()
    pretrain.command([*args, str(tmp_path / "sweep")])

    printed = capsys.readouterr().out
    assert printed.count("this run is finished") == 3
    assert (tmp_path / "sweep" / "step-size=0.2" / "seed-1" / "loss.npz").read_bytes() == whole
    rows = edl_jax.read_runs(tmp_path / "sweep")
    assert [(row["step_size"], row["seed"]) for row in rows] == [
        *((0.1, 0), (0.1, 1)),
        *((0.2, 0), (0.2, 1)),
    ]
    short, long = ([row for row in rows if row["step_size"] == size] for size in (0.1, 0.2))
    assert edl_jax.compare(short, long, "held_out_tau").num_pairs == 2
    config = json.loads(
        (tmp_path / "sweep" / "step-size=0.1" / "seed-1" / "config.json").read_text()
    )
    assert config["seed"] == 1 and {"seeds", "vary"}.isdisjoint(config)

    with pytest.raises(OptionError, match="a directory without a search of other options"):
        pretrain.command([*args, str(tmp_path / "sweep"), "--final-step-size", "0.02"])


def test_a_sweep_goes_on_only_with_the_files_that_it_began_with(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copy(own_parts.__file__, "mine.py")
    args = [*TINY, "--mutation", "mine.py:laplace", "--output-dir", "sweep", "--seeds"]
    pretrain.command([*args, "0"])
    (row,) = edl_jax.read_runs("sweep")
    assert len(row["sources.mutation mine.py:laplace"]) == 64
    with open("mine.py", "a") as file:
        file.write("# changed\n")

    with pytest.raises(OptionError, match=r"mutation mine.py:laplace: expected the file as it was"):
        pretrain.command([*args, "0", "1"])
    assert not Path("sweep/seed-1").exists()


def test_a_search_that_fails_does_not_stop_the_others(tmp_path, capsys):
    args = [*TINY, "--vary", "max_rise=0,1", "--seed", "0", "--output-dir"]

    with pytest.raises(EdlError, match=r"1 of 2 searches failed; the first, .*max-rise=0/seed-0"):
        pretrain.command([*args, str(tmp_path)])

    assert len(edl_jax.read_runs(tmp_path)) == 1
