"""The comparison of losses: its cells, its summary, its tables and pictures."""

import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks.common.pages import between_marks, with_blocks
from benchmarks.common.results_file import committed
from benchmarks.transfer_losses import ablation, datasets, peers, plot, table
from benchmarks.transfer_losses.cells import cells, rates_to_try
from benchmarks.transfer_losses.config import LOSSES, TUNING_SEED, TransferLossesConfig
from benchmarks.transfer_losses.datasets import load_set
from benchmarks.transfer_losses.settings import QUICK, SETTINGS
from benchmarks.transfer_losses.summary import by_cell, by_problem, shortened, summarise
from edl_jax import plots
from edl_jax.errors import OptionError
from edl_jax.losses import monotone
from edl_jax.losses.base import Context
from edl_jax.losses.loading import load_loss, resolve_loss
from edl_jax.training.data import Dataset


def row(loss, seed, accuracy, protocol="aware", noise=0.4, kind="symmetric"):
    return {
        "dataset": "toy",
        "model": "mlp",
        "width": 4,
        "train_size": 10,
        "epochs": 1,
        "batch_size": 128,
        "optimizer": "sgd",
        "label_noise": noise,
        "noise_kind": kind,
        "protocol": protocol,
        "loss": loss,
        "learning_rate": 0.1,
        "seed": seed,
        "test_accuracy": accuracy,
        "nll": None,
        "ece": 0.1,
        "train_accuracy": 1.0,
        "commit": None,
    }


def test_differences_are_paired_by_seed_and_in_points():
    rows = [row("cross_entropy", s, 0.5 + 0.1 * s) for s in range(3)]
    rows += [row("gce", s, 0.51 + 0.1 * s) for s in range(3)]
    rows += [row("edl", s, 0.52 + 0.1 * s) for s in range(3)]
    rows += [row("edl", 7, accuracy, protocol="tuning") for accuracy in (0.3, 0.1)]
    reference, best, line = summarise(rows)

    assert [reference["loss"], best["loss"], line["loss"]] == ["cross_entropy", "gce", "edl"]
    assert line["difference"] == pytest.approx(2.0)
    assert line["interval"] == pytest.approx((2.0, 2.0))
    assert (line["best"], line["num_seeds"], line["grid"]) == ("gce", 3, [0.1, 0.3])
    assert line["from_best"] == pytest.approx(1.0)


def test_one_hand_made_loss_alone_is_not_the_best():
    lines = summarise([row("cross_entropy", 0, 0.5), row("edl-base", 0, 0.6)])

    assert [line["best"] for line in lines] == [None, None]
    assert "best hand-made)" not in table.markdown(lines)


def test_on_clean_labels_the_protocols_are_one_line():
    rows = [row("gce", 0, 0.5, protocol, noise=0.0) for protocol in ("aware", "unaware")]

    assert len(summarise(rows)) == 1


def test_the_short_table_keeps_the_reference_the_shipped_and_the_best_hand_made():
    accuracies = {"cross_entropy": 0.5, "gce": 0.6, "brier": 0.7, "edl-base": 0.4, "taylor": 0.9}
    lines = summarise([row(name, 0, a) for name, a in accuracies.items()])
    kept = {line["loss"] for line in shortened(lines)}

    assert kept == {"cross_entropy", "edl-base", "brier"}


def several_levels():
    """Two losses with two seeds, on clean labels and under two kinds of noise."""
    rows = []
    for seed in range(2):
        for noise, kind in ((0.4, "asymmetric"), (0.4, "symmetric"), (0.0, "symmetric")):
            for protocol in ("aware", "unaware") if noise else ("aware",):
                rows.append(row("cross_entropy", seed, 0.5, protocol, noise, kind))
                rows.append(row("edl-robust", seed, 0.6 + 0.1 * seed, protocol, noise, kind))
    return rows


def test_only_what_shares_problem_noise_and_protocol_is_compared():
    lines = summarise([*several_levels(), row("gce", 0, 0.7) | {"model": "resnet8"}])
    problems = {name: list(by_cell(members)) for name, members in by_problem(lines)}
    mlp, resnet = problems.values()

    assert [[line["loss"] for line in cell] for cell in mlp] == [
        ["cross_entropy", "edl-robust"]
    ] * 5
    assert [(c[0]["label_noise"], c[0]["noise_kind"], c[0]["protocol"]) for c in mlp] == [
        (0.0, "symmetric", "aware"),
        (0.4, "symmetric", "unaware"),
        (0.4, "symmetric", "aware"),
        (0.4, "asymmetric", "unaware"),
        (0.4, "asymmetric", "aware"),
    ]
    assert [line["difference"] for cell in resnet for line in cell] == [None]


def test_the_overview_is_a_row_for_each_comparison():
    lines = summarise([*several_levels(), row("gce", 0, 0.7), row("gce", 1, 0.8)])
    title, _, _, _, *rows = table.overview(lines).splitlines()
    cells = [[cell.strip() for cell in text.strip("|").split("|")] for text in rows]

    assert title.startswith("**") and [c[:2] for c in cells] == [
        ["0", ""],
        ["0.4", "unaware"],
        ["0.4", "aware"],
        ["0.4 asymmetric", "unaware"],
        ["0.4 asymmetric", "aware"],
    ]
    assert cells[2][2:] == [
        "50.00",
        "",
        "+15.00 [+10.00, +20.00]",
        "`gce` +25.00 [+20.00, +30.00]",
        "-10.00 [-10.00, -10.00]",
    ]


def test_the_overview_leaves_out_what_is_not_compared_with_cross_entropy():
    alone = [row("edl-base", 0, 0.5, noise=0.2)]

    assert table.overview(summarise(alone)) == ""
    (text,) = table.overview(summarise([*alone, row("cross_entropy", 0, 0.5)])).splitlines()[4:]
    assert text.count("|") == 8 and "| 0.4 | aware | 50.00 |" in text


def test_the_pictures_show_every_noise_level_and_comparison(tmp_path):
    lines = summarise(several_levels())
    drawn = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plots, "save", lambda figure, path: drawn.update({path.name: figure}))
        plot.draw_noise(lines, tmp_path / "noise.png")
        plot.draw_differences(lines, tmp_path / "losses.png")

    for axis in drawn["noise.png"].axes:
        assert [t.get_text() for t in axis.get_xticklabels()] == ["0 %", "40 %", "40 %\nasymmetric"]
    # The problem, then its clean labels, in both panels, and a row for each kind of noise.
    panels = drawn["losses.png"].axes
    rows = [label.get_text() for label in panels[0].get_yticklabels()]
    assert rows == ["", "clean", "40 %", "40 % asymmetric"]
    drawn_in = [len(axis.collections) for axis in panels]
    assert drawn_in == [2 * 3, 2 * 3 + len(plot.POINTS)]  # and what the legend shows
    assert len({axis.get_xlim() for axis in panels}) == 1


def test_clinc_is_read_as_rows_of_one_norm(tmp_path):
    rng = np.random.default_rng(0)
    arrays = {"class_names": np.array(["yes", "no"])}
    for part, size in (("train", 6), ("validation", 3), ("test", 4)):
        arrays[f"{part}_features"] = rng.integers(0, 3, (size, 20)).astype(np.uint8)
        arrays[f"{part}_labels"] = np.arange(size) % 2
    np.savez(tmp_path / "clinc150.npz", **arrays)

    dataset = load_set("clinc150", tmp_path)

    assert (dataset.num_classes, dataset.train_images.shape) == (2, (9, 1, 20, 1))
    assert dataset.test_labels.tolist() == [0, 1, 0, 1]
    norms = np.linalg.norm(dataset.train_images.reshape(9, 20).astype(float), axis=1)
    np.testing.assert_allclose(norms, 255, rtol=0.01)


def test_clinc_without_its_file_says_where_it_is_looked_for(tmp_path):
    with pytest.raises(OptionError, match=r"data_dir .*expected the directory of clinc150\.npz"):
        load_set("clinc150", tmp_path)


def test_two_classes_are_pullovers_and_coats_alone(monkeypatch):
    images, labels = np.arange(6, dtype=np.uint8).reshape(6, 1, 1, 1), np.array([2, 4, 0, 4, 2, 1])
    whole = Dataset("fashion_mnist", 10, images, labels, images[:3], labels[:3])
    monkeypatch.setattr(datasets, "load", lambda name, data_dir: whole)

    dataset = load_set("fashion_mnist:2", None)

    assert dataset.train_images.ravel().tolist() == [0, 1, 3, 4]
    assert dataset.train_labels.tolist() == [0, 1, 1, 0] and dataset.num_classes == 2


def test_the_cells_tune_before_they_measure_and_measure_what_tuning_chose():
    setting = QUICK
    config = TransferLossesConfig(noise=("0.4",), seeds=(0,))

    def tuned(problem, loss):
        return {0.01: 0.5, 0.1: 0.4 if problem["label_noise"] else 0.6}

    planned = list(cells(setting, config, "gce", tuned))

    assert [cell["protocol"] for cell in planned] == ["tuning", "tuning", "unaware", "aware"] * 2
    assert [cell["learning_rate"] for cell in planned[2:4]] == [0.1, 0.1]
    assert [cell["learning_rate"] for cell in planned[6:]] == [0.1, 0.01]
    assert all(cell["seed"] == TUNING_SEED for cell in planned[:2])


@pytest.mark.parametrize("best", range(7))
def test_climbing_finds_the_best_of_a_hill_and_both_its_neighbours(best):
    setting = SETTINGS["cifar-resnet8"]
    rates = setting.learning_rates
    tried = {}
    for rate in rates_to_try(setting, lambda r: tried[r]):
        assert rate not in tried
        tried[rate] = -abs(rates.index(rate) - best)

    assert max(tried, key=tried.get) == rates[best]
    assert {*rates[max(best - 1, 0) : best + 2]} <= tried.keys()
    assert len(tried) <= 2 + abs(best - rates.index(0.1)) + 1


def test_a_network_with_a_whole_grid_tries_every_rate():
    setting = SETTINGS["fashion-mlp"]

    assert tuple(rates_to_try(setting, {}.get)) == setting.learning_rates


def test_every_loss_of_the_benchmark_is_one_that_can_be_made():
    for name in LOSSES:
        assert name in peers.PEERS or resolve_loss(name)


def test_a_random_network_says_which_seed_drew_it():
    loss = peers.random_network()

    assert loss.provenance["random_network_seed"] < peers.MAX_DRAWS
    assert float(loss.scale) > 0


@pytest.mark.parametrize(
    ("name", "opened"),
    [
        ("robust-gate-shut", [0.0, 0.0, 0.0]),
        ("robust-hand-gate", [0.0, 0.0, 1.0]),
        ("robust-gate-open", [1.0, 1.0, 1.0]),
    ],
)
def test_an_ablated_loss_is_edl_robust_with_another_gate(name, opened):
    loss, shipped = peers.resolve(name), load_loss("edl-robust")
    confidence = jnp.array([0.1, 0.3, 0.5])
    context = Context(confidence, 0 * confidence, 0 * confidence)

    np.testing.assert_allclose(monotone.gate(loss.params, context), opened, atol=1e-3)
    for part, weights in shipped.params.items():
        assert part.startswith("gate/") or jnp.array_equal(weights, loss.params[part])


def test_the_ablation_pairs_edl_robust_with_each_other_gate_that_has_all_its_seeds():
    rows = [row("edl-robust", seed, 0.8 + 0.01 * seed) for seed in range(4)]
    rows += [row("robust-gate-open", seed, 0.7) for seed in range(4)]
    rows += [row("robust-gate-shut", seed, 0.9) for seed in range(3)]
    rows += [row("edl-robust", 9, 0.1, protocol="tuning"), row("gce", 0, 0.5)]

    ((place, found),) = ablation.differences(rows).items()

    assert place[1:] == (0.4, "aware")
    assert set(found) == {"robust-gate-open"}
    assert found["robust-gate-open"].mean == pytest.approx(11.5)
    (line,) = ablation.table(rows).splitlines()[2:]
    assert "| +11.50 [" in line and line.endswith("] |  |  |  |")


def test_the_pages_show_what_the_results_file_says():
    content, page = committed("transfer_losses"), table.PAGE.read_text()
    lines = summarise(content["rows"])
    assert with_blocks(page, table.blocks(content, lines)) == page
    for home in table.HOME_PAGES:
        text = home.read_text()
        assert between_marks(text, "headline", table.headline(lines)) == text
