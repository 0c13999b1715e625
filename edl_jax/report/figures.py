"""Figures of a report: how a search converged and how classifiers learned.

Figures are Plotly's, without a title, which the page sets, and without a colour of text, which
follows the reader's light or dark scheme.
"""

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any, NamedTuple

import numpy as np
import plotly.graph_objects as go

from edl_jax.objective.terms import SCALE_GUARD_WEIGHT
from edl_jax.report.runs import Row, Run

PALETTE = (
    "#3d85d8", "#e8862e", "#2fa36b", "#d6506a", "#9a6dd7", "#9c7a55", "#d773b8", "#4fb3bf",
)  # fmt: skip
REFERENCE = "#8a8a8a"
_GRID = "rgba(128, 128, 128, 0.25)"
_DASHES = ("solid", "dash", "dashdot", "dot")


class Panel(NamedTuple):
    """A figure with its title, what is to be said about it, and whether it takes a full row."""

    title: str
    figure: go.Figure
    note: str = ""
    wide: bool = False


def colour(index: int) -> str:
    """The colour of the run, or of the loss, number ``index``."""
    return PALETTE[index % len(PALETTE)]


def style(index: int) -> dict[str, Any]:
    """The line of number ``index``; dashes where the colours begin again."""
    return {"color": colour(index), "dash": _DASHES[index // len(PALETTE) % 4], "width": 1.8}


def axes(x: str, y: str, log_y: bool = False, **layout: Any) -> go.Figure:
    """An empty figure with titled axes; ``layout`` goes over what is set here."""
    axis: dict[str, Any] = {
        "gridcolor": _GRID,
        "zerolinecolor": _GRID,
        "automargin": True,
        "hoverformat": ".4~g",
    }
    spike = {"spikethickness": 1, "spikecolor": REFERENCE, "spikedash": "solid"}
    base: dict[str, Any] = {
        "template": None,
        "paper_bgcolor": "rgba(0, 0, 0, 0)",
        "plot_bgcolor": "rgba(0, 0, 0, 0)",
        "font": {"family": "system-ui, sans-serif", "size": 12},
        "margin": {"l": 56, "r": 12, "t": 16, "b": 44},
        "hovermode": "x unified",
        "legend": {"orientation": "h", "yref": "container", "y": 0, "yanchor": "bottom", "x": 0},
        "xaxis": axis | spike | {"title": {"text": x, "standoff": 8}, "zeroline": False},
        "yaxis": axis | {"title": {"text": y, "standoff": 8}, "type": "log" if log_y else "linear"},
    }
    if log_y:
        base["yaxis"] |= {"dtick": 1, "exponentformat": "power"}
    figure = go.Figure(layout=base)
    return figure.update_layout(**layout)


def line(
    figure: go.Figure, name: str, x: Any, y: Any, line: Mapping[str, Any], **more: Any
) -> None:
    """Add a named curve to ``figure``; few points are marked, so that a single one is seen."""
    if figure.layout.yaxis.type == "log":
        y = [value if value is not None and value > 0 else None for value in y]
    mode = "lines+markers" if len(x) <= 30 else "lines"
    given = {"mode": mode, "marker": {"size": 5, "color": line["color"]}} | more
    figure.add_scatter(name=label(name), x=x, y=y, line=line, **given)


def height(figure: go.Figure) -> int:
    """Pixels that a figure needs, its legend wrapped to the width of a phone."""
    names = [trace.name for trace in figure.data if trace.showlegend is not False]
    width = sum(50 + 7 * len(name) for name in names if name) if len(names) > 1 else 0
    return 300 + 20 * -(-width // 300)


# --- pretrain ----------------------------------------------------------------------------------


def convergence(runs: Sequence[Run]) -> Iterator[Panel]:
    """Fitness, held-out discordance, and each term of the objective, over the generations."""
    figure = axes("generation", "fitness", _log(runs, "best_fitness"))
    for i, run in enumerate(runs):
        generations = [row["generation"] for row in run.history]
        mean = style(i) | {"dash": "dot", "width": 1.2}
        for name, title, look, shown in (
            ("best_fitness", run.name, style(i), len(runs) > 1),
            ("mean_fitness", f"{run.name}, mean", mean, False),
        ):
            values = [row[name] for row in run.history]
            group = {"legendgroup": str(i), "showlegend": shown}
            line(figure, title, generations, values, look, **group)
    note = "Of the best candidate, dotted the population's mean, on each generation's own batch."
    yield Panel("Fitness", figure, note)

    name = "held_out_discordance"
    figure = axes("generation", "discordant pairs (%)", _log(runs, name))
    for i, run in enumerate(runs):
        rows = [row for row in run.history if row.get(name) is not None]
        values = [100 * row[name] for row in rows]
        line(figure, run.name, [row["generation"] for row in rows], values, style(i))
    note = "Held-out pairs of predictions that the loss puts in the wrong order."
    yield Panel("Held-out discordance", figure, note)

    for term in _terms(runs):
        figure = axes("generation", "term, unweighted", _log(runs, term))
        for i, run in enumerate(runs):
            rows = [row for row in run.history if term in row]
            if rows:
                generations = [row["generation"] for row in rows]
                line(figure, run.name, generations, [row[term] for row in rows], style(i))
        weights = {getattr(run.config.objective, term, SCALE_GUARD_WEIGHT) for run in runs}
        weighted = " and ".join(f"{weight:g}" for weight in sorted(weights))
        title = f"Term: {term.replace('_', ' ')}"
        yield Panel(title, figure, f"Of each generation's best candidate. Weight {weighted}.")


def _terms(runs: Sequence[Run]) -> list[str]:
    other = {"generation", "best_fitness", "mean_fitness", "num_failed", "held_out_discordance"}
    names = (name for run in runs for row in run.history for name in row)
    return [name for name in dict.fromkeys(names) if name not in other]


def _log(runs: Sequence[Run], name: str) -> bool:
    """Whether a figure spans decades, and is positive often enough to be seen doing so."""
    rows = [row for run in runs for row in run.history if row.get(name) is not None]
    positive = [row[name] for row in rows if row[name] > 0]
    return 2 * len(positive) > len(rows) and max(positive) > 30 * min(positive)


# --- transfer ----------------------------------------------------------------------------------

_CURVES = (
    ("train_accuracy", "Accuracy on the training labels", "accuracy (%)", 100),
    ("test_accuracy", "Test accuracy", "accuracy (%)", 100),
    ("nll", "Negative log-likelihood, test images", "nats an image", 1),
    ("ece", "Expected calibration error, test images", "ECE", 1),
)


def learning_curves(runs: Sequence[Run]) -> Iterator[Panel]:
    """Each loss over the epochs: the mean over the seeds, and the range between them."""
    curves = [(run, loss) for run in runs for loss in run.config.loss]
    note = "The line is the mean over the seeds, the band their range."
    if all(len(run.config.seeds) == 1 for run in runs):
        note = "One seed."
    for metric, title, unit, factor in _CURVES:
        figure = axes("epoch", unit)
        for i, (run, loss) in enumerate(curves):
            rows = [row for row in run.history if row["loss"] == loss]
            epochs, values = _by_epoch(rows, metric, len(run.config.seeds))
            values = factor * values
            name = loss if len(runs) == 1 else f"{short(run.name, 20)}: {short(loss, 20)}"
            if len(run.config.seeds) > 1:
                _band(figure, epochs, values, colour(i), str(i))
            mean = values.mean(axis=1)
            line(figure, name, epochs, mean, style(i), legendgroup=str(i))
        # A tick a whole epoch at the closest.
        last = max(run.config.epochs for run in runs)
        figure.update_xaxes(range=[0.5, last + 0.5], **({"dtick": 1} if last <= 12 else {}))
        yield Panel(title, figure, note)


def _by_epoch(rows: Sequence[Row], metric: str, num_seeds: int) -> tuple[list[int], np.ndarray]:
    """Epochs that all seeds have a finite value of, and the values, shape (epochs, seeds)."""
    by_epoch: dict[int, dict[int, float]] = {}
    for row in rows:
        if row.get(metric) is not None:
            by_epoch.setdefault(row["epoch"], {})[row["seed"]] = row[metric]
    # A mean over other seeds than before would make a step that no run took.
    whole = {epoch: of for epoch, of in sorted(by_epoch.items()) if len(of) == num_seeds}
    values = np.array([list(of.values()) for of in whole.values()])
    return list(whole), values.reshape(len(whole), num_seeds)


def _band(figure: go.Figure, epochs: list[int], values: np.ndarray, ink: str, group: str) -> None:
    around = [*epochs, *reversed(epochs)]
    edge = np.concatenate([values.max(axis=1), values.min(axis=1)[::-1]])
    figure.add_scatter(
        x=around,
        y=edge,
        fill="toself",
        fillcolor=ink,
        opacity=0.18,
        line={"width": 0},
        mode="lines",
        hoverinfo="skip",
        showlegend=False,
        legendgroup=group,
    )


def label(name: str) -> str:
    """A name as Plotly is to show it: short enough for a phone, its mark-up plain text."""
    return escape(short(name, 42))


def short(name: str, longest: int) -> str:
    """The end of a name that is too long for a legend.

    >>> short("runs/a/long/path", 10)
    '…long/path'
    """
    return name if len(name) <= longest else "…" + name[1 - longest :]
