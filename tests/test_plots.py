"""The pictures: PNG files that come whole, also of unfortunate histories."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from edl_jax import plots
from edl_jax.errors import EdlError
from edl_jax.losses.handmade import LOSSES

PNG = b"\x89PNG\r\n\x1a\n"


def row(generation, **values):
    return {"generation": generation, "best_fitness": 0.5, "mean_fitness": 1.0} | values


HISTORIES = {
    "usual": [row(1), row(2, held_out_discordance=0.1), row(3, held_out_discordance=0.05)],
    "one generation": [row(1, held_out_discordance=0.4)],
    "perfect": [row(1, best_fitness=0.0), row(2, held_out_discordance=0.0, best_fitness=0.0)],
    "ahead of cross-entropy": [row(1), row(2, best_fitness=-0.5, mean_fitness=-0.2)],
    "some failed": [row(1, best_fitness=None, mean_fitness=None), row(2, held_out_discordance=0.3)],
    "all failed": [row(1, best_fitness=None, mean_fitness=None, held_out_discordance=0.5)],
}


@pytest.mark.parametrize("history", HISTORIES.values(), ids=HISTORIES)
def test_the_convergence_of_any_history_is_drawn(tmp_path, history):
    plots.convergence(history, tmp_path / "convergence.png")

    assert (tmp_path / "convergence.png").read_bytes().startswith(PNG)


@pytest.mark.parametrize("num_classes", [2, 10])
def test_the_shape_of_losses_is_drawn_beside_cross_entropy(tmp_path, monkeypatch, num_classes):
    figures = []
    save = plots.save
    monkeypatch.setattr(
        plots, "save", lambda figure, path: (figures.append(figure), save(figure, path))
    )
    plots.loss_shape({"mine": LOSSES["brier"]}, tmp_path / "shape.png", num_classes)

    assert (tmp_path / "shape.png").read_bytes().startswith(PNG)
    (figure,) = figures
    for axes in figure.axes:
        assert [line.get_label() for line in axes.lines[:2]] == ["cross-entropy", "mine"]
    # Cross-entropy falls to 0 at the right end, and its gradient is p_y - 1.
    values, gradients = (axes.lines[0].get_ydata() for axes in figure.axes)
    assert values[0] == pytest.approx(10, abs=0.1)
    assert values[-1] == 0
    assert gradients[0] == pytest.approx(-1, abs=1e-3)


def test_a_picture_that_cannot_be_written_is_one_error(tmp_path):
    with pytest.raises(EdlError, match="cannot write"):
        plots.convergence(HISTORIES["usual"], tmp_path / "none" / "convergence.png")


def test_learning_curves_are_drawn_whatever_is_missing(tmp_path):
    history = [
        {"loss": "a", "seed": 0, "epoch": 1, "train_accuracy": 0.2},
        {"loss": "a", "seed": 0, "epoch": 2, "train_accuracy": 0.3, "test_accuracy": 0.25},
        {"loss": "x" * 80, "seed": 0, "epoch": 1, "train_accuracy": 0.1, "test_accuracy": 0.1},
    ]
    plots.learning_curves(history, tmp_path / "curves.png")
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert len(list(tmp_path.iterdir())) == 1


ALONE = """
import sys, matplotlib
matplotlib.use("svg")
before = dict(matplotlib.rcParams)
from edl_jax import plots
plots.convergence([{"generation": 1, "best_fitness": 1.0, "mean_fitness": 2.0}], "picture.png")
assert dict(matplotlib.rcParams) == before
assert "matplotlib.pyplot" not in sys.modules
"""


def test_the_users_backend_and_settings_are_left_alone(tmp_path):
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    subprocess.run([sys.executable, "-c", ALONE], cwd=tmp_path, env=environment, check=True)
    assert (tmp_path / "picture.png").read_bytes().startswith(PNG)


@pytest.mark.parametrize("name", ["a$\\nothing$b", "$x", "_hidden", "a$b$"])
def test_a_name_is_shown_as_it_is(tmp_path, monkeypatch, name):
    figures = []
    save = plots.save
    monkeypatch.setattr(plots, "save", lambda f, path: (figures.append(f), save(f, path)))
    plots.loss_shape({name: LOSSES["gce"]}, tmp_path / "shape.png", 3)
    plots.simplex({name: LOSSES["gce"]}, tmp_path / "simplex.png")
    history = [{"loss": name, "seed": 0, "epoch": 1, "train_accuracy": 0.5, "test_accuracy": 0.5}]
    plots.learning_curves(history, tmp_path / "curves.png")

    shape, simplex, curves = figures
    texts = [shape.axes[1].get_legend().get_texts()[1], simplex.axes[0].title]
    texts += curves.legends[0].get_texts()
    for text in texts:
        shown, is_formula = text._preprocess_math(text.get_text())
        assert (shown.strip(), is_formula) == (name, False)
