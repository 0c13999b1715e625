"""Configurations refuse what cannot work, name the field, and need no JAX to do so."""

import dataclasses
import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edl_jax.analyze import AnalyzeConfig
from edl_jax.config import ChaosConfig, EvolutionConfig, MixtureConfig, ObjectiveConfig
from edl_jax.errors import EdlError, OptionError, require, require_one_of
from edl_jax.export.__main__ import ExportConfig
from edl_jax.runs.options import RunOptions
from edl_jax.search.presets import PretrainConfig
from edl_jax.training.config import TrainConfig
from edl_jax.transfer import TransferConfig

INTEGERS = {
    "population_size": (4, 10_000_000),
    "num_generations": (1, 1_000_000_000),
    "batch_size": (16, 100_000_000),
    "num_classes": (2, 1_000_000),
    "width": (1, 65_536),
}
NO_COMPONENT = dict.fromkeys((f.name for f in dataclasses.fields(MixtureConfig)), 0.0)


@pytest.mark.parametrize("field", INTEGERS)
def test_whole_numbers_are_held_to_their_range(field):
    low, high = INTEGERS[field]
    for good in (low, high):
        assert getattr(EvolutionConfig(**{field: good}), field) == good
    for bad in (low - 1, high + 1, -1, 0.5, "8", None):
        with pytest.raises(OptionError, match=rf"^{field} .*expected a whole number from {low} to"):
            EvolutionConfig(**{field: bad})


@pytest.mark.parametrize("field", ["step_size", "final_step_size"])
@pytest.mark.parametrize("bad", [0.0, -0.1, math.nan, math.inf, 1e4, "0.1"])
def test_step_sizes_are_positive_and_finite(field, bad):
    with pytest.raises(OptionError, match=rf"^{field} .*: expected a number from"):
        EvolutionConfig(**{field: bad})


@pytest.mark.parametrize(
    ("kind", "field"),
    [
        *((EvolutionConfig, name) for name in ("strategy", "network", "mutation", "schedule")),
        *((ChaosConfig, name) for name in ("map", "marginal", "dynamics", "orbits")),
    ],
)
def test_names_are_held_against_the_known_ones(kind, field):
    with pytest.raises(OptionError, match=rf"^{field} nonsense: expected one of .+, "):
        kind(**{field: "nonsense"})


@pytest.mark.parametrize("bad", [-1e-9, math.nan, math.inf])
@pytest.mark.parametrize(
    ("config", "prefix"), [(MixtureConfig, "mixture"), (ObjectiveConfig, "objective")]
)
def test_weights_are_non_negative_and_finite(config, prefix, bad):
    for field in dataclasses.fields(config):
        if field.name not in ("severity", "own"):
            with pytest.raises(OptionError, match=rf"^{prefix}\.{field.name} "):
                config(**{field.name: bad})


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: MixtureConfig(**NO_COMPONENT), "mixture"),
        (lambda: MixtureConfig(**dict.fromkeys(NO_COMPONENT, 1e308)), "mixture"),
        (lambda: ObjectiveConfig(0.0, 0.0, 0.0, 1.0), "objective.clean_ranking"),
        (lambda: ObjectiveConfig(label_noise=1.1), "objective.label_noise"),
        (lambda: ObjectiveConfig(margin=0.0), "objective.margin"),
        (lambda: ObjectiveConfig(severity="worst"), "objective.severity"),
        (lambda: EvolutionConfig(strategy="Open_ES", population_size=9), "population_size"),
        (lambda: EvolutionConfig(strategy="CMA_ES", mutation="chaotic"), "mutation"),
    ],
)
def test_combinations_that_cannot_work_are_refused(make, named):
    with pytest.raises(OptionError) as caught:
        make()
    assert caught.value.field == named


def test_the_combinations_beside_them_work():
    EvolutionConfig(strategy="Open_ES", population_size=10)
    EvolutionConfig(strategy="ES", population_size=9, mutation="chaotic")
    MixtureConfig(**NO_COMPONENT | {"graded": 1e-9})
    ObjectiveConfig(0.0, 0.0, 1e-9, label_noise=1.0)


def test_an_option_error_is_one_line_and_names_the_option():
    error = OptionError("population_size", 0, "a whole number of at least 4")

    assert str(error) == "population_size 0: expected a whole number of at least 4"
    assert error.as_option == "--population-size 0: expected a whole number of at least 4"
    assert OptionError("objective.label_noise", 2, "x").as_option.startswith(
        "--objective.label-noise 2:"
    )


def test_requirements_raise_only_where_they_do_not_hold():
    require(True, "field", 1, "anything")
    require_one_of("name", "a", ("a", "b"))
    with pytest.raises(EdlError, match=r"^field 1: expected more$"):
        require(False, "field", 1, "more")
    with pytest.raises(EdlError, match=r"^name c: expected one of a, b$"):
        require_one_of("name", "c", ("a", "b"))


def test_options_are_checked_without_importing_jax():
    code = (
        "import sys, edl_jax.config, edl_jax.cli, edl_jax.pretrain, edl_jax.runs;"
        "sys.exit(any(m.partition('.')[0] in ('jax', 'numpy', 'flax') for m in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# --- numbers of other libraries ----------------------------------------------------------------

NUMBERS = [np.int8, np.uint8, np.int32, np.int64, np.uint64]
CONFIGS = {
    EvolutionConfig: ("population_size", "num_generations", "batch_size", "width"),
    PretrainConfig: ("num_restarts", "seed", "population_size", "num_processes"),
    TrainConfig: ("width", "epochs", "batch_size", "eval_every"),
    TransferConfig: ("train_size", "epochs"),
    AnalyzeConfig: ("num_classes",),
    ExportConfig: ("num_classes",),
}
REQUIRED = {AnalyzeConfig: {"losses": ("gce",)}, ExportConfig: {"loss": "gce"}}
REQUIRED |= {PretrainConfig: {"distributed": True, "output_dir": Path("x")}}
WHOLE = [(kind, name) for kind, names in CONFIGS.items() for name in names]


@pytest.mark.parametrize(("kind", "name"), WHOLE)
def test_numpys_whole_numbers_become_pythons_and_no_bool_is_a_number(kind, name):
    others = REQUIRED.get(kind, {}) | ({"batch_size": 16} if name == "train_size" else {})
    for make in NUMBERS:
        config = kind(**others, **{name: make(64)})
        assert type(getattr(config, name)) is int
        assert config == kind(**others, **{name: 64})
    for wrong in (True, np.True_, 64.0, np.float32(64)):
        with pytest.raises(OptionError, match="a whole number"):
            kind(**others, **{name: wrong})


def test_numpys_fractions_become_pythons_and_no_bool_is_a_number():
    for kind, name in [
        (EvolutionConfig, "step_size"),
        (MixtureConfig, "graded"),
        (ObjectiveConfig, "margin"),
        (TrainConfig, "learning_rate"),
        (RunOptions, "checkpoint_every"),
        (TransferConfig, "label_noise"),
    ]:
        for make in (np.float16, np.float32, np.float64):
            assert type(getattr(kind(**{name: make(0.5)}), name)) is float
        for wrong in (True, np.True_):
            with pytest.raises(OptionError, match="a number"):
                kind(**{name: wrong})


def test_what_is_recorded_of_numpys_numbers_is_json():
    config = TransferConfig(seeds=tuple(np.arange(3)), width=np.int64(8), momentum=np.float32(0.5))
    assert json.loads(json.dumps(config.recorded()))["seeds"] == [0, 1, 2]
    config = PretrainConfig(mixture=MixtureConfig(graded=np.float32(0.5)), seed=np.uint8(3))
    assert json.loads(json.dumps(config.recorded()))["mixture"]["graded"] == 0.5
    for seeds in [(True,), (0.5,), (np.True_,)]:
        with pytest.raises(OptionError, match="seeds"):
            TransferConfig(seeds=seeds)
