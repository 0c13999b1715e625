"""The benchmark of throughput: that all implementations do the same work, and its bookkeeping."""

import json
from concurrent.futures import Future
from dataclasses import replace

import jax
import numpy as np
import pytest

from benchmarks.common import timing
from benchmarks.common.pages import DOCS, with_blocks
from benchmarks.common.results_file import committed
from benchmarks.throughput import (
    cells,
    floor,
    numpy_search,
    plot,
    problem,
    scaling,
    searches,
    table,
)
from benchmarks.throughput.__main__ import command
from edl_jax import cli
from edl_jax.losses.networks import make_network
from edl_jax.objective.synthetic import sample_pairs

TINY = replace(problem.PROBLEM, population_size=8, batch_size=256, width=4)


def search(name, config=TINY):
    if searches.missing(name):
        pytest.skip(f"needs {searches.missing(name)}")
    return searches.SEARCHES[name](config)


def test_every_implementation_gives_the_same_fitness_of_the_same_parameters_and_pairs():
    network = make_network(TINY.network, TINY.width, TINY.num_classes)
    population = jax.vmap(network.init)(jax.random.split(jax.random.key(1), TINY.population_size))
    # Biases that are not 0, and a candidate whose scale has drifted: the guard counts.
    population = {name: np.asarray(x) + 0.1 for name, x in population.items()}
    population["mlp/2/weights"][0] *= 1e-3
    pairs = jax.device_get(sample_pairs(jax.random.key(2), TINY.mixture, TINY.batch_size, 10))
    expected = search("edl_jax").fitness(population, pairs.logits, pairs.labels)

    assert expected.shape == (TINY.population_size,)
    assert len(set(np.round(expected, 3))) == TINY.population_size
    for name in searches.SEARCHES:
        if not searches.missing(name):
            found = search(name).fitness(population, pairs.logits, pairs.labels)
            np.testing.assert_allclose(found, expected, rtol=2e-3, err_msg=name)


@pytest.mark.parametrize("name", ["numpy", "evotorch"])
def test_every_implementation_draws_the_same_mixture(name):
    """Each component by itself: means and spreads of logits and log-probabilities."""
    config = replace(TINY, batch_size=60_000)
    sample = sample_pairs(jax.random.key(0), config.mixture, config.batch_size, 10)
    if name == "numpy":
        found = numpy_search.sample_pairs(np.random.default_rng(0), config)
    else:
        pytest.importorskip("evotorch")
        from benchmarks.throughput import evotorch_search

        found = [tensor.numpy() for tensor in evotorch_search.sample_pairs(config)]
    unshuffled = np.argsort(problem.shuffled(config.batch_size))
    for component, part in problem.component_slices(config):
        rows = unshuffled[part]
        np.testing.assert_allclose(
            moments(*(array[rows] for array in found)),
            moments(np.asarray(sample.logits)[rows], np.asarray(sample.labels)[rows]),
            rtol=0.05,
            atol=0.05,
            err_msg=component,
        )


def moments(logits, labels):
    rows = np.arange(len(labels))
    log_p = numpy_search.log_softmax(logits)
    of_label, rest = log_p[rows, labels], log_p.copy()
    rest[rows, labels] = -np.inf
    values = [logits, of_label, rest.max(axis=1), np.sort(log_p, axis=1)[:, -2], labels / 10]
    return np.array([f(value) for value in values for f in (np.mean, np.std)])


def test_the_floor_counts_what_the_formulas_evaluate():
    called = floor.counts(TINY)

    assert called["activation"] == 8 * 256 * (4 + 4)
    assert called["softplus"] == 8 * 256
    assert floor.matmul_flops(TINY) == 2 * 8 * 256 * (6 * 4 + 4 * 4 + 4)
    # Twice the batch is twice of everything but the mutations' normal numbers.
    twice = floor.counts(replace(TINY, batch_size=512))
    dimensions = 8 * (6 * 4 + 4 + 4 * 4 + 4 + 4 + 1)
    called["normal"] -= dimensions
    twice["normal"] -= dimensions
    for name in called:
        assert twice[name] == pytest.approx(2 * called[name], rel=0.02)


def test_slopes_are_exponents():
    rows = [
        {"axis": "width", "width": w, "seconds": 3 * w**2, "peak_bytes": None} for w in (2, 4, 8)
    ]
    rows = [{**row, "sampling_seconds": 1.0} for row in rows]
    found = {row["quantity"]: (row["slope"], row["last"]) for row in scaling.slopes(rows)}

    assert found.keys() == {"seconds", "sampling_seconds"}
    assert found["seconds"] == pytest.approx((2, 2))
    assert found["sampling_seconds"] == pytest.approx((0, 0))


class InThisProcess:
    """In the place of a pool, whose processes take seconds to begin."""

    def __init__(self, *args, **options):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def submit(self, function, *args):
        future = Future()
        future.set_result(function(*args))
        return future


@pytest.fixture(scope="module")
def quick_run(tmp_path_factory):
    """The results file of a quick run with smaller sizes yet, and without what is not installed."""
    path = tmp_path_factory.mktemp("quick") / "results.json"
    names = [name for name in searches.SEARCHES if not searches.missing(name)]
    with pytest.MonkeyPatch.context() as patch:
        for module in (floor, scaling, cells):
            patch.setattr(module, "ProcessPoolExecutor", InThisProcess)
        patch.setattr(scaling, "QUICK_AXES", {"population_size": (8,)})
        patch.setattr(timing, "SETTLE", 0.0)
        patch.setattr(problem, "PROBLEM", replace(TINY, width=2))
        names = ["edl_jax_one_device", *names]
        command(["--quick", "--output", str(path), "--implementations", *names])
    return path


def test_a_quick_run_fills_a_file(quick_run):
    content = json.loads(quick_run.read_text())

    assert {"command", "commit", "environment", "cpu", "num_processors"} <= content["meta"].keys()
    names = {row["implementation"] for row in content["rows"]}
    assert names >= {"edl_jax", "evosax_loop", "numpy"}
    for row in content["rows"]:
        assert {"network", "population_size", "batch_size", "width", "num_classes"} <= row.keys()
        assert row["generations_per_second"] > 0
    (floor_row,) = content["floor"]
    assert floor_row["share_reached"].keys() == names
    assert floor_row["seconds"] == pytest.approx(
        floor_row["matmul_seconds"] + floor_row["transcendental_seconds"]
    )
    assert [row["population_size"] for row in content["scaling"]] == [8]
    assert all(row["buffer_bytes"] > 0 for row in content["scaling"])


def test_what_is_not_installed_is_left_out_in_one_line(monkeypatch, capsys):
    monkeypatch.setattr(searches, "missing", lambda name: "evotorch")
    with pytest.raises(SystemExit):
        cli.main(lambda: command(["--implementations", "evotorch"]))

    printed = capsys.readouterr()
    assert "evotorch is left out" in printed.out
    assert len(printed.err.splitlines()) == 1


def rate(name, size, repeat, rate):
    return {
        "implementation": name,
        "strategy": "ES",
        "population_size": size,
        "repeat": repeat,
        "generations_per_second": rate,
    }


def results():
    """A results file whose machine is slower by half in every other repeat."""
    rows = []
    for repeat in range(6):
        slow = 0.5 if repeat % 2 else 1.0
        rows += [rate("edl_jax", 64, repeat, 300 * slow), rate("numpy", 64, repeat, 100 * slow)]
    floor = {
        "population_size": 64,
        "width": 32,
        "matmul_flops": 2e9,
        "matmul_peak": 1e11,
        "matmul_rate_at_this_width": 5e10,
        "matmul_seconds": 0.02,
        "counts": {"exp": 10**6},
        "nanoseconds": {"exp": 2.0},
        "transcendental_seconds": 0.002,
        "seconds": 0.022,
        "share_reached": {"edl_jax": 0.5, "numpy": 0.2},
    }
    sizes = {"population_size": 64, "batch_size": 2048, "width": 32, "num_classes": 10}
    grown = [
        {
            "axis": "width",
            **sizes,
            "width": w,
            "seconds": w / 1e3,
            "sampling_seconds": 1e-3,
            "peak_bytes": None,
            "buffer_bytes": 2**20,
        }
        for w in (8, 16)
    ]
    slopes = [{"axis": "width", "quantity": "seconds", "slope": 1.0, "last": 1.0}]
    return {"rows": rows, "floor": [floor], "scaling": grown, "slopes": slopes}


def test_rates_are_compared_within_a_repeat():
    text = table.markdown(results())

    assert "| 64 | `numpy` | ES | 75 | 3.00 [3.00, 3.00] | 20 % | 6 |" in text
    assert "| width | 16 | 16 | 1 |  | 1 |" in text
    assert "| width | time of a generation | 1.00 | 1.00 |" in text


def test_the_page_shows_what_the_results_file_says():
    page = (DOCS / "speed.md").read_text()

    assert with_blocks(page, table.blocks(committed("throughput"))) == page


def test_the_picture_is_drawn(tmp_path):
    plot.draw(results()["scaling"], tmp_path / "speed.png")

    assert (tmp_path / "speed.png").stat().st_size > 1000
