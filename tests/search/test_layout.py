"""Chunks, devices and processes change where a population is evaluated, never what comes of it."""

import dataclasses
import os
import re
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from edl_jax.config import EvolutionConfig, ObjectiveConfig
from edl_jax.losses.loading import load_loss
from edl_jax.search.engine import make_evolution
from edl_jax.search.layout import CPU_BYTES, candidates_at_once, make_layout
from edl_jax.startup import num_processors

SMALL = {"network": "taylor", "population_size": 16, "batch_size": 32, "num_classes": 3}
CLEAN = ObjectiveConfig(proper_ranking=0.0)
OPTIONS = [
    "--num-generations=10",
    "--max-rise=1",
    "--objective.proper-ranking=0",
    *(f"--{name.replace('_', '-')}={value}" for name, value in SMALL.items()),
]
GENERATIONS = 4


def environment(**changes):
    """For other processes, in which time is compilation: without the optimisations."""
    quick = {"JAX_PLATFORMS": "cpu", "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}
    # More devices than cores: a device that waits for others must not hold a thread they need.
    quick["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"
    return os.environ | quick | changes


def search(devices=None, **changes):
    """What ``GENERATIONS`` generations on ``devices`` end with, and the fitness on the way."""
    config = EvolutionConfig(**SMALL, objective=CLEAN)
    evolution = make_evolution(dataclasses.replace(config, **changes), devices=devices)
    state, info = evolution.run(evolution.init(jax.random.key(0)), GENERATIONS)
    return jnp.concatenate(jax.tree.leaves(evolution.params(state))), info.mean_fitness


def compiled(strategy, devices):
    """The program of ``GENERATIONS`` generations, as XLA has it for each device."""
    evolution = make_evolution(
        EvolutionConfig(**SMALL, objective=CLEAN, strategy=strategy), devices=devices
    )
    state = evolution.init(jax.random.key(0))
    return evolution.run.lower(state, GENERATIONS).compile().as_text()


# --- chunks ------------------------------------------------------------------------------------


@pytest.mark.parametrize("at_once", [1, 3, 5, 7])
def test_chunks_give_each_candidate_its_own_result_in_its_own_place(at_once):
    sizes = []

    def evaluate(candidate, problem):
        sizes.append(candidate["x"].shape)
        return {"y": candidate["x"] * problem}

    population = {"x": jnp.arange(14.0).reshape(7, 2)}
    found = make_layout(7, jax.devices()[:1]).map(evaluate, population, jnp.float32(3.0), at_once)

    np.testing.assert_array_equal(found["y"], 3.0 * population["x"])
    assert set(sizes) == {(2,)}


def test_a_search_in_chunks_is_the_search_at_once():
    whole, chunked = search(), search(candidates_at_once=5)
    for one, other in zip(whole, chunked, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("at_once", [0, 3])
def test_a_chunk_holds_no_more_candidates_than_it_may(at_once):
    """With nothing said, so many that the largest value, some times over, fits into the memory."""

    def evaluate(candidate, problem):
        return jnp.sum(jnp.tanh(candidate * problem))

    problem = jax.ShapeDtypeStruct((2**16,), jnp.float32)  # 256 KiB a candidate
    population = jax.ShapeDtypeStruct((1000,), jnp.float32)
    layout = make_layout(1000, jax.devices()[:1])
    jaxpr = jax.make_jaxpr(lambda *args: layout.map(evaluate, *args, at_once))(population, problem)

    (scan,) = [e for e in jaxpr.eqns if e.primitive.name == "scan"]
    assert candidates_at_once(evaluate, population, problem) == CPU_BYTES // (4 * 2**18) == 8
    at_once = at_once or 8
    shapes = [v.aval.shape for e in scan.params["jaxpr"].jaxpr.eqns for v in e.outvars]
    assert max(shape[0] for shape in shapes if len(shape) == 2) in (at_once, at_once - 1)


def test_a_population_that_fits_is_evaluated_as_ever():
    population, problem = jnp.arange(9.0), jnp.float32(2.0)
    layout = make_layout(9, jax.devices()[:1])
    mapped = jax.make_jaxpr(lambda *args: layout.map(jnp.multiply, *args))(population, problem)

    assert [e.primitive.name for e in mapped.eqns if e.primitive.name in ("scan", "pad")] == []


def test_all_chunks_of_generations_share_one_compilation():
    """A weakly typed leaf in the first state would have the search compiled a second time."""
    evolution = make_evolution(EvolutionConfig(**SMALL))
    start = evolution.init(jax.random.key(0))

    assert not any(jax.typeof(leaf).weak_type for leaf in jax.tree.leaves(start.strategy))


# --- devices -----------------------------------------------------------------------------------

ON_DEVICES = """
import sys
import jax, numpy as np
from edl_jax.config import ObjectiveConfig, RehearsalConfig
from edl_jax.objective import gains
from edl_jax.objective.tasks import Regime
from tests.search.test_layout import compiled, search
assert len(jax.devices()) == 8
gains.REGIMES = {"short_noisy": Regime(10, 0.4, num_train=64)}
found = {}
for name, numbers, changes in [
    ("ES", (1, 2, 4, 8), {}),
    ("CMA_ES", (1, 8), {"strategy": "CMA_ES"}),
    ("uneven", (1, 8), {"population_size": 10, "strategy": "DifferentialEvolution",
                        "candidates_at_once": 1}),
    # Students amplify what other chunks would round otherwise.
    ("rehearsal", (1, 2, 4), {"network": "monotone", "width": 2, "candidates_at_once": 1,
                              "objective": ObjectiveConfig(proper_ranking=0.0, rehearsal=1.0),
                              "rehearsal": RehearsalConfig(("short_noisy",), 1, (1.0,))}),
]:
    for n in numbers:
        params, fitness = search(jax.devices()[:n], **changes)
        assert len(params.devices()) == n, (name, n)
        found[f"{name}/{n}"] = np.concatenate([params, fitness])
for strategy in ("ES", "Sep_CMA_ES"):
    print(compiled(strategy, jax.devices()[:4]))
np.savez(sys.argv[1], **found)
"""


def test_any_number_of_devices_gives_what_one_gives(tmp_path):
    """Populations that the devices do not divide too, and those that carry parents."""
    ended = subprocess.run(
        [sys.executable, "-c", ON_DEVICES, tmp_path / "found.npz"],
        check=True,
        env=environment(JAX_NUM_CPU_DEVICES="8"),
        stdout=subprocess.PIPE,
        text=True,
    )
    found = np.load(tmp_path / "found.npz")
    assert len(found.files) == 11
    for name in found.files:
        one = found[f"{name.partition('/')[0]}/1"]
        np.testing.assert_allclose(found[name], one, rtol=1e-4, atol=1e-5, err_msg=name)

    # Fitness is gathered, of all 16 candidates; their parameters, 8 each, never are.
    gathered = re.findall(r"= f32\[([\d,]+)\]\S* all-gather", ended.stdout)
    assert set(gathered) == {"16"}
    assert re.findall(r" all-reduce\(", ended.stdout)


@pytest.mark.skipif(num_processors() == 1, reason="needs two processors")
def test_a_command_makes_devices_of_the_processors_and_repeats_itself(tmp_path):
    """As users start it, with nothing settled: the same seed, the same bytes."""
    settled = {"JAX_NUM_CPU_DEVICES", "XLA_FLAGS"}
    plain = {name: value for name, value in environment().items() if name not in settled}
    for name in ("one", "two"):
        command = [sys.executable, "-m", "edl_jax.pretrain", *OPTIONS]
        subprocess.run(
            [*command, f"--output-dir={tmp_path / name}"],
            check=True,
            env=plain,
            capture_output=True,
        )
    one, two = ((tmp_path / name / "loss.npz").read_bytes() for name in ("one", "two"))
    loss = load_loss(tmp_path / "one")

    assert one == two
    assert loss.provenance["environment"]["num_devices"] == min(8, num_processors())
