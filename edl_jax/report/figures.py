"""Figures of a report: how a search converged and how classifiers learned.

Figures are Plotly's, without a title, which the page sets, and without a colour of text, which
follows the reader's light or dark scheme.
"""

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import NamedTuple

import numpy as np
import plotly.graph_objects as go

from edl_jax.objective.fitness import GAIN, SCALE_GUARD_WEIGHT
from edl_jax.report.runs import PretrainRun, TransferRun
from edl_jax.runs.curves import Curve, SeedCurves, search_curve, seed_curves, short_name

PALETTE = (
    "#3d85d8", "#e8862e", "#2fa36b", "#d6506a", "#9a6dd7", "#9c7a55", "#d773b8", "#4fb3bf",
)  # fmt: skip
REFERENCE = "#8a8a8a"
_GRID = "rgba(128, 128, 128, 0.25)"
_DASHES = ("solid", "dash", "dashdot", "dot")

Layout = dict[str, object]
"""Attributes of a figure, an axis or a line, as Plotly takes them."""


class Panel(NamedTuple):
    """A figure with its title, what is to be said about it, and whether it takes a full row."""

    title: str
    figure: go.Figure
    note: str = ""
    wide: bool = False


def colour(index: int) -> str:
    """The colour of the run, or of the loss, number ``index``."""
    return PALETTE[index % len(PALETTE)]


def style(index: int) -> Layout:
    """The line of number ``index``; dashes where the colours begin again."""
    return {"color": colour(index), "dash": _DASHES[index // len(PALETTE) % 4], "width": 1.8}


def axes(x: str, y: str, log_y: bool = False, **layout: object) -> go.Figure:
    """An empty figure with titled axes; ``layout`` goes over what is set here."""
    axis: Layout = {
        "gridcolor": _GRID,
        "zerolinecolor": _GRID,
        "automargin": True,
        "hoverformat": ".4~g",
    }
    spike: Layout = {"spikethickness": 1, "spikecolor": REFERENCE, "spikedash": "solid"}
    scale: Layout = {"type": "linear"}
    if log_y:
        scale = {"type": "log", "dtick": 1, "exponentformat": "power"}
    figure = go.Figure(
        layout={
            "template": None,
            "paper_bgcolor": "rgba(0, 0, 0, 0)",
            "plot_bgcolor": "rgba(0, 0, 0, 0)",
            "font": {"family": "system-ui, sans-serif", "size": 12},
            "margin": {"l": 56, "r": 12, "t": 16, "b": 44},
            "hovermode": "x unified",
            "legend": {
                "orientation": "h",
                "yref": "container",
                "y": 0,
                "yanchor": "bottom",
                "x": 0,
            },
            "xaxis": axis | spike | {"title": {"text": x, "standoff": 8}, "zeroline": False},
            "yaxis": axis | scale | {"title": {"text": y, "standoff": 8}},
        }
    )
    return figure.update_layout(**layout)


def line(
    figure: go.Figure,
    name: str,
    x: np.ndarray,
    y: np.ndarray,
    line: Mapping[str, object],
    **more: object,
) -> None:
    """Add a named curve to ``figure``; few points are marked, so that a single one is seen."""
    if figure.layout.yaxis.type == "log":
        y = np.where(y > 0, y, np.nan)
    mode = "lines+markers" if len(x) <= 30 else "lines"
    given = {"mode": mode, "marker": {"size": 5, "color": line["color"]}} | more
    figure.add_scatter(name=label(name), x=x, y=y, line=line, **given)


def height(figure: go.Figure) -> int:
    """Pixels that a figure needs, its legend wrapped to the width of a phone."""
    names = [trace.name for trace in figure.data if trace.showlegend is not False]
    width = sum(50 + 7 * len(name) for name in names if name) if len(names) > 1 else 0
    return 300 + 20 * -(-width // 300)


# --- pretrain ----------------------------------------------------------------------------------


def convergence(runs: Sequence[PretrainRun]) -> Iterator[Panel]:
    """Fitness, held-out discordance, and each term of the objective, over the generations."""
    best, mean = (
        [search_curve(run.history, name) for run in runs]
        for name in ("best_fitness", "mean_fitness")
    )
    figure = axes("generation", "fitness", _spans_decades(best))
    for i, run in enumerate(runs):
        dotted = style(i) | {"dash": "dot", "width": 1.2}
        group = str(i)
        line(figure, run.name, *best[i], style(i), legendgroup=group, showlegend=len(runs) > 1)
        line(figure, f"{run.name}, mean", *mean[i], dotted, legendgroup=group, showlegend=False)
    note = "Of the best candidate, dotted the population's mean, on each generation's own batch."
    yield Panel("Fitness", figure, note)

    figure = _over_generations(runs, "held_out_discordance", "discordant pairs (%)", factor=100)
    note = "Held-out pairs of predictions that the loss puts in the wrong order."
    yield Panel("Held-out discordance", figure, note)

    for run in runs:
        if run.front:
            yield Panel(f"The front of {run.name}", _front(run), _FRONT_NOTE, wide=True)
    for term in _terms(runs):
        if term.startswith(GAIN):
            figure = _over_generations(runs, term, "points over cross-entropy", factor=100)
            note = "Test accuracy of the best candidate's students less that of cross-entropy's."
            name = term.removeprefix(GAIN).replace("_", " ")
            yield Panel(f"Gain in rehearsal: {name}", figure, note)
            continue
        figure = _over_generations(runs, term, "term, unweighted")
        weights = {getattr(run.config.objective, term, SCALE_GUARD_WEIGHT) for run in runs}
        weighted = " and ".join(f"{weight:g}" for weight in sorted(weights))
        title = f"Term: {term.replace('_', ' ')}"
        yield Panel(title, figure, f"Of each generation's best candidate. Weight {weighted}.")


_FRONT_NOTE = (
    "Losses of which no other is at least as good in every regime: accuracy of their students on "
    "fresh tasks less that of cross-entropy's. The first is the run's loss; the run directory's "
    "front/NUMBER holds each."
)


def _front(run: PretrainRun) -> go.Figure:
    names = [name.replace("_", " ") for name in run.config.rehearsal.regimes]
    figure = axes("regime", "points over cross-entropy")
    for i, gains in enumerate(run.front):
        line(figure, f"front/{i}", np.array(names), 100 * np.array([*gains.values()]), style(i))
    return figure


def _over_generations(
    runs: Sequence[PretrainRun], name: str, title: str, factor: float = 1.0
) -> go.Figure:
    curves = [search_curve(run.history, name, factor) for run in runs]
    figure = axes("generation", title, _spans_decades(curves))
    for i, (run, curve) in enumerate(zip(runs, curves, strict=True)):
        if len(curve.values):
            line(figure, run.name, *curve, style(i))
    return figure


def _terms(runs: Sequence[PretrainRun]) -> list[str]:
    other = {"generation", "best_fitness", "mean_fitness", "num_failed", "held_out_discordance"}
    names = (name for run in runs for row in run.history for name in row)
    return [name for name in dict.fromkeys(names) if name not in other]


def _spans_decades(curves: Sequence[Curve]) -> bool:
    """Whether a logarithmic axis suits: most values are positive and they differ by much."""
    values = np.concatenate([curve.values for curve in curves])
    finite = values[np.isfinite(values)]
    positive = finite[finite > 0]
    return 2 * len(positive) > len(finite) and bool(positive.max() > 30 * positive.min())


# --- transfer ----------------------------------------------------------------------------------

_CURVES = (
    ("train_accuracy", "Accuracy on the training labels", "accuracy (%)", 100),
    ("test_accuracy", "Test accuracy", "accuracy (%)", 100),
    ("nll", "Negative log-likelihood, test images", "nats an image", 1),
    ("ece", "Expected calibration error, test images", "ECE", 1),
)


def learning_curves(runs: Sequence[TransferRun]) -> Iterator[Panel]:
    """Each loss over the epochs: the mean over the seeds, and the range between them."""
    losses = [(run, loss) for run in runs for loss in run.config.loss]
    note = "The line is the mean over the seeds, the band their range."
    if all(len(run.config.seeds) == 1 for run in runs):
        note = "One seed."
    for metric, title, unit, factor in _CURVES:
        figure = axes("epoch", unit)
        for i, (run, loss) in enumerate(losses):
            curves = seed_curves(run.history, loss, run.config.seeds, metric, factor).complete()
            name = loss
            if len(runs) > 1:
                name = f"{short_name(run.name, 20)}: {short_name(loss, 20)}"
            if len(run.config.seeds) > 1:
                _band(figure, curves, colour(i), str(i))
            mean = curves.values.mean(axis=1)
            line(figure, name, curves.epochs, mean, style(i), legendgroup=str(i))
        # A tick a whole epoch at the closest.
        last = max(run.config.epochs for run in runs)
        figure.update_xaxes(range=[0.5, last + 0.5], **({"dtick": 1} if last <= 12 else {}))
        yield Panel(title, figure, note)


def _band(figure: go.Figure, curves: SeedCurves, ink: str, group: str) -> None:
    epochs, values = curves
    figure.add_scatter(
        x=np.concatenate([epochs, epochs[::-1]]),
        y=np.concatenate([values.max(axis=1), values.min(axis=1)[::-1]]),
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
    return escape(short_name(name, 42))
