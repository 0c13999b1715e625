"""The page of a report: what its runs are, their figures, and the tables beside them.

What comes out of a run directory is text that anyone may have written: it reaches the page escaped.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from importlib.resources import files
from string import Template
from typing import Any

import numpy as np
import plotly.offline

from edl_jax.analyze import ROWS
from edl_jax.losses.handmade import LOSSES
from edl_jax.losses.learned import LearnedLoss, load_loss
from edl_jax.objective.properties import measure_properties
from edl_jax.report import figures as report_figures
from edl_jax.report import shapes as report_shapes
from edl_jax.report.figures import Panel
from edl_jax.report.runs import Run
from edl_jax.training import comparison

_MOST_CLASSES = 100


def render(runs: Sequence[Run]) -> str:
    """The HTML page about ``runs``: one file with all that it needs.

    Raises:
      EdlError: the loss of a run cannot be read.
    """
    searches = [run for run in runs if run.command == "pretrain"]
    trainings = [run for run in runs if run.command == "transfer"]
    losses = {run.name: load_loss(run.path) for run in searches}
    title = runs[0].name if len(runs) == 1 else f"{len(runs)} runs"
    body = [
        f"<header><h1>{escape(title)}</h1>",
        '<p class="soft">Report of edl_jax: losses evolved on synthetic pairs, and classifiers '
        "trained with them.</p></header>",
        *_overview(runs),
    ]
    panels = _Panels()
    if searches:
        body += _searches(searches, losses, panels)
    if trainings:
        body += _trainings(trainings, panels)
    template = Template(files("edl_jax.report").joinpath("template.html").read_text("utf-8"))
    return template.substitute(
        title=escape(f"edl_jax: {title}"),
        body="\n".join(body),
        plotly=plotly.offline.get_plotlyjs(),
    )


# --- sections ----------------------------------------------------------------------------------


def _overview(runs: Sequence[Run]) -> Iterator[str]:
    head = ["run", "what it is", "wall time", "edl_jax", "jax", "python", "device"]
    rows = []
    for run in runs:
        environment = run.summary["environment"]
        versions = [environment.get(name, "") for name in head[3:]]
        rows.append([run.name, _what(run), f"{run.summary['wall_time_s']:,.1f} s", *versions])
    yield table(head, rows, prose=True)
    for command in ("pretrain", "transfer"):
        same = [run for run in runs if run.command == command]
        if same:
            yield _options(command, same)
            yield from (_everything(run) for run in same)


def _what(run: Run) -> str:
    c = run.config
    if run.command == "pretrain":
        chaos = f" ({c.map})" if c.mutation.startswith("chaotic") else ""
        searches = f"{c.num_restarts} searches of " if c.num_restarts > 1 else ""
        return (
            f"pretrain, preset {c.preset}, seed {c.seed}: {searches}{c.num_generations:,} "
            f"generations of {c.population_size:,} candidates with {c.strategy}, {c.network} "
            f"network of width {c.width}, {c.mutation}{chaos} mutation, {c.num_classes} classes"
        )
    images = "all" if c.train_size is None else f"{c.train_size:,}"
    return (
        f"transfer: {c.model} on {images} images of {c.dataset}, {c.epochs:,} epochs, "
        f"label noise {c.label_noise:g}, {len(c.loss)} losses × {len(c.seeds)} seeds"
    )


def _options(command: str, runs: Sequence[Run]) -> str:
    """A table of the options that are not the default, or not the same, in some run."""
    recorded = [_flat(run.config.recorded()) for run in runs]
    defaults = [_flat(run.defaults) for run in runs]
    names = [
        name
        for name in recorded[0]
        if any(of[name] != recorded[0][name] for of in recorded)
        or any(of[name] != usual[name] for of, usual in zip(recorded, defaults, strict=True))
    ]
    rows = [[name, *(_text(of[name]) for of in recorded)] for name in names]
    if not rows:
        which = "that preset's defaults" if command == "pretrain" else "their defaults"
        return f"<p>All options of {command} are at {which}.</p>"
    caption = f"Options of {command} that differ from the defaults, or between the runs"
    return table(["option", *(run.name for run in runs)], rows, caption)


def _everything(run: Run) -> str:
    rows = [[name, _text(value)] for name, value in _flat(run.config.recorded()).items()]
    versions = [[name, _text(value)] for name, value in run.summary["environment"].items()]
    return (
        f"<details><summary>All options and versions of {escape(run.name)}</summary>"
        f"{table(['option', 'value'], rows)}{table(['environment', ''], versions)}</details>"
    )


def _searches(
    runs: Sequence[Run], losses: Mapping[str, LearnedLoss], panels: "_Panels"
) -> Iterator[str]:
    classes = {name: loss.spec.num_classes for name, loss in losses.items()}
    yield "<h2>Convergence of the search</h2>"
    yield panels.grid(report_figures.convergence(runs))
    yield "<h2>The evolved loss</h2>"
    yield panels.grid(report_shapes.profiles(losses, classes))
    surface = report_shapes.surface(losses, classes)
    if surface is not None:
        yield panels.grid([surface])
    yield _properties(runs, losses)
    chaos = list(report_shapes.chaos(runs))
    if chaos:
        yield "<h2>The chaotic mutation</h2>"
        yield panels.grid(chaos)


def _properties(runs: Sequence[Run], losses: Mapping[str, LearnedLoss]) -> str:
    """Figures of each search, and measured properties of its loss, beside cross-entropy's."""
    # A concat loss takes no other number; the others need not be measured at thousands.
    classes = [
        loss.spec.num_classes
        if loss.spec.name == "concat"
        else min(loss.spec.num_classes, _MOST_CLASSES)
        for loss in losses.values()
    ]
    columns = [measure_properties(LOSSES["cross_entropy"], classes[0])]
    columns += [measure_properties(of, k) for of, k in zip(losses.values(), classes, strict=True)]
    known = [run.summary for run in runs]
    rows = [
        [
            "held-out discordance",
            "0 %",
            *(f"{100 * s['held_out_discordance']:.3f} %" for s in known),
        ],
        ["held-out Kendall's tau", "1", *(f"{s['held_out_tau']:.4f}" for s in known)],
        ["scale", "1", *(f"{s['scale']:.4g}" for s in known)],
        ["classes of the rows below", *map(str, (classes[0], *classes))],
    ]
    rows += [[label, *(_text(getattr(of, name)) for of in columns)] for name, label in ROWS.items()]
    head = ["property", "cross-entropy", *losses]
    return table(head, rows, "Figures of the search, and properties of the loss", numbers=True)


def _trainings(runs: Sequence[Run], panels: "_Panels") -> Iterator[str]:
    yield "<h2>Classifiers trained with the losses</h2>"
    yield panels.grid(report_figures.learning_curves(runs))
    for run in runs:
        rows = run.summary["rows"]
        lines = list(comparison.lines(rows))
        cells = [[line.loss, line.seed, *line.cells] for line in lines]
        caption = f"{run.name}: test images after the last epoch"
        head = ["loss", "seed", *comparison.headings(rows)]
        strong = [line.seed == "mean" for line in lines]
        yield table(head, cells, caption, numbers=True, strong=strong)
        if len(run.config.loss) > 1:
            few = len(run.config.seeds) < comparison.MIN_SEEDS
            interval = (
                "without an interval: that takes three seeds"
                if few
                else ("with a 95 % bootstrap interval over the seeds")
            )
            yield f'<p class="soft">Differences are in points, paired by seed, {interval}.</p>'


# --- pieces ------------------------------------------------------------------------------------


class _Panels:
    """Figures in cards, numbered through the page."""

    def __init__(self) -> None:
        self._count = 0

    def grid(self, panels: Iterable[Panel]) -> str:
        cards = [self._card(panel) for panel in panels]
        kind = "grid pairs" if len(cards) == 4 else "grid"
        return f'<div class="{kind}">{"".join(cards)}</div>'

    def _card(self, panel: Panel) -> str:
        self._count += 1
        height = report_figures.height(panel.figure)
        style = "" if panel.wide else f' style="height: {height}px"'
        kind = "card wide" if panel.wide else "card"
        note = f"<p>{escape(panel.note)}</p>" if panel.note else ""
        title = escape(panel.title)
        return (
            f'<figure class="{kind}"><figcaption><h3>{title}</h3>{note}</figcaption>'
            f'<div class="plot" id="plot-{self._count}" role="group" aria-label="{title}"'
            f"{style}></div>"
            f'<script type="application/json">{_script_json(panel.figure)}</script></figure>'
        )


def _script_json(figure: Any) -> str:
    """JSON that no text in it can make the end of its script element."""
    return figure.to_json().replace("<", "\\u003c")


def table(
    head: Sequence[str],
    rows: Iterable[Sequence[str]],
    caption: str = "",
    *,
    numbers: bool = False,
    prose: bool = False,
    strong: Sequence[bool] = (),
) -> str:
    """An HTML table in a box of its own that scrolls; every cell is escaped.

    Args:
      head: headings of the columns.
      rows: cells; the first of a row is its heading.
      caption: what the table is.
      numbers: whether all cells but the first of a row are numbers, set flush right.
      prose: whether the second column holds sentences, which need some width.
      strong: which rows are set in bold; none by default.

    >>> "&lt;b&gt;" in table(["<b>"], [])
    True
    """
    kinds = [' class="number"' if numbers and i else "" for i in range(len(head))]
    if prose:
        kinds[1] = ' class="prose"'
    cells = "".join(
        f'<th scope="col"{kind}>{escape(str(text))}</th>'
        for text, kind in zip(head, kinds, strict=True)
    )
    body = []
    for i, row in enumerate(rows):
        first, *others = map(str, row)
        line = f'<th scope="row">{escape(first)}</th>'
        line += "".join(
            f"<td{kind}>{escape(text)}</td>" for text, kind in zip(others, kinds[1:], strict=True)
        )
        mark = ' class="mean"' if i < len(strong) and strong[i] else ""
        body.append(f"<tr{mark}>{line}</tr>")
    said = f"<h3>{escape(caption)}</h3>" if caption else ""
    return (
        f'<div class="table">{said}<div class="scroll" tabindex="0" role="region"'
        f' aria-label="{escape(caption or head[0])}"><table><thead><tr>{cells}</tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table></div></div>"
    )


def _flat(content: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in content.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat


def _text(value: Any) -> str:
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        return ", ".join(map(_text, value))
    return "none" if value is None else str(value)
