"""The benchmark of an accelerator, in miniature on the CPU: that it measures what it says."""

import json
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from benchmarks.accelerator import __main__ as accelerator
from benchmarks.accelerator import cells, search, table, training
from benchmarks.accelerator.config import KINDS, QUICK, AcceleratorConfig
from benchmarks.accelerator.measure import Budget, product_flops
from benchmarks.common.pages import with_blocks
from benchmarks.common.results_file import RESULTS, ResultsFile, committed
from edl_jax import cli
from edl_jax.errors import EdlError
from edl_jax.training.step import init_state


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    """The results file of a quick run."""
    path = tmp_path_factory.mktemp("accelerator") / "results.json"
    accelerator.command(["--quick", "--output", str(path)])
    return json.loads(path.read_text())


def measured(tmp_path, *kinds, minutes=8.0, sizes=QUICK):
    """Rows of a quick run of some kinds of cells."""
    config = AcceleratorConfig(minutes=minutes, kinds=kinds, quick=True)
    results = ResultsFile(tmp_path / "results.json", cells.KEY)
    cells.Measurements(config, sizes, Budget(minutes)).measure_all(results)
    return results.rows


def test_a_quick_run_measures_every_kind(quick):
    rows = quick["rows"]

    assert {row["kind"] for row in rows} == set(KINDS)
    assert not [row for row in rows if "failed" in row]
    for row in rows:
        assert row[cells.FIGURES[row["kind"]]] > 0, row["case"]
        assert row["device"] == jax.devices()[0].device_kind
    runs = [row for row in rows if row["kind"] == "training"]
    assert [row["label_noise"] for row in runs] == sorted(
        (row["label_noise"] for row in runs), reverse=True
    )
    assert {row["epochs"] for row in runs} == {QUICK.train.epochs}


def test_the_tables_show_each_measurement(quick):
    text = table.markdown(quick)
    lines = text.splitlines()

    for size in QUICK.populations:
        assert any(line.startswith(f"| {size} | ") for line in lines)
    assert text.count("| bfloat16 |") == text.count("| float32 |") == len(cells.STEP_LOSSES)
    for loss in QUICK.losses:
        assert sum(line.startswith(f"| 40 % | {loss} |") for line in lines) == 1


def test_a_cell_that_fails_is_a_row_of_one_line_and_the_others_go_on(tmp_path, monkeypatch):
    def fail(*_: object) -> None:
        raise RuntimeError("no\nmemory")

    monkeypatch.setattr(search, "device_row", fail)
    rows = measured(tmp_path, "device", "loss")

    assert [row["failed"] for row in rows if "failed" in row] == ["RuntimeError: no memory"]
    assert sum(row["kind"] == "loss" for row in rows) == len(cells.STEP_LOSSES)


def test_a_failure_does_not_take_the_place_of_a_measurement(tmp_path, monkeypatch):
    (before,) = measured(tmp_path, "device")
    monkeypatch.setattr(search, "device_row", lambda *_: 1 / 0)

    assert measured(tmp_path, "device") == [before]


def test_without_evosax_only_its_cell_fails(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "benchmarks.throughput.jax_searches", None)
    (row,) = measured(tmp_path, "evosax")

    assert row["failed"].startswith("ModuleNotFoundError")


def test_nothing_is_begun_that_the_time_does_not_allow(tmp_path, capsys):
    assert measured(tmp_path, "device", "loss", "training", minutes=0.001) == []
    assert capsys.readouterr().out.count("for want of time") == 2 + len(cells.STEP_LOSSES)


def test_time_is_kept_for_the_training_runs(tmp_path, capsys):
    measured(tmp_path, "device", "training", minutes=19 / 60)

    assert "device, peaks: left out, for want of time" in capsys.readouterr().out


def test_runs_on_clean_labels_are_given_up_for_enough_epochs_on_noisy_ones():
    assert cells.planned_epochs(1000.0, 1.0, losses=4, most=30) == 30
    few, many = (cells.planned_epochs(280.0, seconds, losses=4, most=30) for seconds in (2.5, 2.0))

    assert few > cells.MIN_EPOCHS
    assert 8 * (cells.MIN_EPOCHS * 2.0 + cells.RUN_SECONDS) + cells.COMPILE_SECONDS > 240
    assert many >= cells.MIN_EPOCHS


def test_a_run_that_the_time_does_not_allow_is_not_finished():
    runs = training.Training(QUICK, None)
    runs.epoch_seconds = 10.0
    with pytest.raises(EdlError, match="after 0 of 2 epochs"):
        runs.run_row("cross_entropy", 0.4, 0, Budget(0.01))


def test_products_are_counted_in_loops_and_convolutions():
    def loop(x: jax.Array) -> jax.Array:
        return jax.lax.scan(lambda x, _: (jnp.tanh(x @ x), None), x, length=7)[0]

    assert product_flops(loop, jnp.ones((4, 4))) == 7 * 2 * 4**3

    convolve = partial(jax.lax.conv_general_dilated, window_strides=(2, 2), padding="SAME")
    layout = ("NHWC", "HWIO", "NHWC")
    counted = product_flops(
        partial(convolve, dimension_numbers=layout), jnp.ones((2, 8, 8, 3)), jnp.ones((3, 3, 3, 5))
    )
    assert counted == 2 * (2 * 4 * 4 * 5) * (3 * 3 * 3)


def test_a_network_computes_in_bfloat16_and_keeps_its_state_and_logits_in_float32():
    config = QUICK.train.__class__("resnet8", width=2)
    graphdef, state = init_state(config, (8, 8, 3), 10, seed=0)
    graphdef = training.with_dtype(graphdef, state, jnp.bfloat16)

    def forward(params: object, batch_stats: object) -> object:
        model = nnx.merge(graphdef, params, batch_stats)
        logits = model(jnp.zeros((4, 8, 8, 3)), train=True)
        return logits, nnx.state(model, nnx.BatchStat), nnx.state(model, nnx.Param)

    jaxpr = jax.make_jaxpr(forward)(state.params, state.model_state)
    convolutions = [e for e in jaxpr.eqns if e.primitive.name == "conv_general_dilated"]
    assert len(convolutions) == 7
    assert {e.outvars[0].aval.dtype for e in convolutions} == {jnp.dtype(jnp.bfloat16)}
    assert {value.dtype for value in jaxpr.out_avals} == {jnp.dtype(jnp.float32)}


def test_learned_losses_of_one_network_share_a_program():
    base, robust = (jax.tree.structure(training.argument(f"edl-{x}")) for x in ("base", "robust-1"))
    assert base == robust


def test_the_data_may_be_an_npz_file(tmp_path):
    path = tmp_path / "set.npz"
    images, labels = np.arange(192, dtype=np.uint8).reshape(1, 8, 8, 3), np.array([7], np.uint8)
    np.savez(path, train_images=images, train_labels=labels, test_images=images, test_labels=labels)
    dataset = training.read_data(path)

    np.testing.assert_array_equal(dataset.train_images, images)
    assert dataset.test_labels.tolist() == [7]
    np.savez(path, train_images=images)
    with pytest.raises(EdlError, match=r"set\.npz: cannot be read"):
        training.read_data(path)


def test_without_data_there_are_no_runs_and_a_line_says_why(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(cells, "read_data", lambda _: training.read_data(tmp_path / "none.npz"))
    config = AcceleratorConfig(kinds=("training",))
    results = ResultsFile(tmp_path / "results.json", cells.KEY)
    cells.Measurements(config, QUICK, Budget(8.0)).measure_all(results)

    assert results.rows == []
    assert "none.npz: cannot be read" in capsys.readouterr().out


@pytest.mark.parametrize("option", ["--minutes=0", "--kinds=x"])
def test_a_bad_option_is_one_line_and_status_2(option, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(lambda: accelerator.command([option]))

    assert stop.value.code == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_the_page_shows_the_committed_results():
    there = (RESULTS / "accelerator.json").exists()
    text = table.PAGE.read_text()

    assert with_blocks(text, table.blocks(committed("accelerator") if there else None)) == text
