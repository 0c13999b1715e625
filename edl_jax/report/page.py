"""The page of a report: what its runs are, their figures, and the tables beside them.

What comes out of a run directory is text that anyone may have written: it reaches the page escaped.
"""

import base64
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from importlib.resources import files
from string import Template

import plotly.offline

from edl_jax.losses.base import Loss
from edl_jax.losses.context import at_stages
from edl_jax.losses.handmade import LOSSES
from edl_jax.losses.learned import LearnedLoss
from edl_jax.losses.loading import load_learned_loss
from edl_jax.objective.properties import PROPERTY_TITLES, measure_properties
from edl_jax.report.chaos import diagnostics
from edl_jax.report.figures import convergence, learning_curves
from edl_jax.report.html import Cards, as_text, table
from edl_jax.report.runs import PretrainRun, Run, SuspectLabels, TransferRun
from edl_jax.report.shapes import profiles, surface
from edl_jax.training import table as comparison_table
from edl_jax.training.comparison import interval_note

_MOST_CLASSES = 100


def render(runs: Sequence[Run]) -> str:
    """The HTML page about ``runs``: one file with all that it needs.

    Raises:
      EdlError: the loss of a run cannot be read.
    """
    searches = [run for run in runs if isinstance(run, PretrainRun)]
    trainings = [run for run in runs if isinstance(run, TransferRun)]
    losses = {run.name: load_learned_loss(run.path) for run in searches}
    title = runs[0].name if len(runs) == 1 else f"{len(runs)} runs"
    body = [
        f"<header><h1>{escape(title)}</h1>",
        '<p class="soft">Report of edl_jax: losses evolved on synthetic pairs, and classifiers '
        "trained with them.</p></header>",
        *_overview(runs),
    ]
    cards = Cards()
    if searches:
        body += _searches(searches, losses, cards)
    if trainings:
        body += _trainings(trainings, cards)
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
    return _what_search(run) if isinstance(run, PretrainRun) else _what_comparison(run)


def _what_search(run: PretrainRun) -> str:
    c = run.config
    chaos = f" ({c.chaos.map})" if c.mutation.startswith("chaotic") else ""
    searches = f"{c.num_restarts} searches of " if c.num_restarts > 1 else ""
    return (
        f"pretrain, preset {c.preset}, seed {c.seed}: {searches}{c.num_generations:,} "
        f"generations of {c.population_size:,} candidates with {c.strategy}, {c.network} "
        f"network of width {c.width}, {c.mutation}{chaos} mutation, {c.num_classes} classes"
    )


def _what_comparison(run: TransferRun) -> str:
    c = run.config
    number = "all" if c.train_size is None else f"{c.train_size:,}"
    return (
        f"transfer: {c.model} on {number} examples of {c.dataset}, {c.epochs:,} epochs, "
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
    rows = [[name, *(as_text(of[name]) for of in recorded)] for name in names]
    if not rows:
        which = "that preset's defaults" if command == "pretrain" else "their defaults"
        return f"<p>All options of {command} are at {which}.</p>"
    caption = f"Options of {command} that differ from the defaults, or between the runs"
    return table(["option", *(run.name for run in runs)], rows, caption)


def _everything(run: Run) -> str:
    rows = [[name, as_text(value)] for name, value in _flat(run.config.recorded()).items()]
    versions = [[name, as_text(value)] for name, value in run.summary["environment"].items()]
    return (
        f"<details><summary>All options and versions of {escape(run.name)}</summary>"
        f"{table(['option', 'value'], rows)}{table(['environment', ''], versions)}</details>"
    )


def _searches(
    runs: Sequence[PretrainRun], losses: Mapping[str, LearnedLoss], cards: Cards
) -> Iterator[str]:
    staged = [(run, at_stages({run.name: losses[run.name]})) for run in runs]
    shapes = {name: loss for _, stages in staged for name, loss in stages.items()}
    classes = {name: losses[run.name].spec.num_classes for run, stages in staged for name in stages}
    yield "<h2>Convergence of the search</h2>"
    yield cards.grid(convergence(runs))
    yield "<h2>The evolved loss</h2>"
    yield cards.grid(profiles(shapes, classes))
    surfaces = surface(shapes, classes)
    if surfaces is not None:
        yield cards.grid([surfaces])
    yield _properties([run for run, stages in staged for _ in stages], losses, shapes)
    chaos = list(diagnostics(runs))
    if chaos:
        yield "<h2>The chaotic mutation</h2>"
        yield cards.grid(chaos)


def _properties(
    runs: Sequence[PretrainRun], losses: Mapping[str, LearnedLoss], shapes: Mapping[str, Loss]
) -> str:
    """Figures of each search, and measured properties of its loss, beside cross-entropy's.

    A column a shape, with the run that it is of.
    """
    # A concat loss takes no other number; the others need not be measured at thousands.
    specs = [losses[run.name].spec for run in runs]
    classes = [
        spec.num_classes if spec.name == "concat" else min(spec.num_classes, _MOST_CLASSES)
        for spec in specs
    ]
    columns = [measure_properties(LOSSES["cross_entropy"], classes[0])]
    columns += [measure_properties(of, k) for of, k in zip(shapes.values(), classes, strict=True)]
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
    rows += [
        [label, *(as_text(getattr(of, name)) for of in columns)]
        for name, label in PROPERTY_TITLES.items()
    ]
    head = ["property", "cross-entropy", *shapes]
    return table(head, rows, "Figures of the search, and properties of the loss", numbers=True)


def _trainings(runs: Sequence[TransferRun], cards: Cards) -> Iterator[str]:
    yield "<h2>Classifiers trained with the losses</h2>"
    yield cards.grid(learning_curves(runs))
    for run in runs:
        rows = run.summary["rows"]
        lines = list(comparison_table.lines(rows))
        cells = [[line.loss, line.seed, *line.cells] for line in lines]
        caption = f"{run.name}: test examples after the last epoch"
        head = ["loss", "seed", *comparison_table.headings(rows)]
        strong = [line.seed == "mean" for line in lines]
        yield table(head, cells, caption, numbers=True, strong=strong)
        if len(run.config.loss) > 1:
            note = interval_note(len(run.config.seeds))
            yield f'<p class="soft">Differences are in points, paired by seed, {note}.</p>'
        if run.suspects is not None:
            yield from _suspects(run.name, run.suspects)


def _suspects(name: str, found: SuspectLabels) -> Iterator[str]:
    figures = found.figures
    yield f"<h2>Suspect labels of {escape(name)}</h2>"
    rows = [
        ["training examples", f"{figures['num_examples']:,}"],
        ["suspect labels", f"{figures['num_suspects']:,}"],
        ["estimated noise rate", f"{figures['noise_rate']:.1%}"],
    ]
    rows += [
        [label, f"{figures[key]:.1%}"]
        for key, label in (
            ("wrong", "labels made wrong by --label-noise"),
            ("precision", "share of the suspect ones that are wrong"),
            ("recall", "share of the wrong ones that are suspect"),
        )
        if isinstance(figures.get(key), float)
    ]
    yield table(["", "figure"], rows, "Where the network finds another class more probable")
    if found.sheet:
        source = f"data:image/png;base64,{base64.b64encode(found.sheet).decode()}"
        said = "The most suspect pictures, each under its label and the suggested class"
        yield f'<figure class="card wide"><img src="{source}" alt="{said}"></figure>'


def _flat(content: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    flat: dict[str, object] = {}
    for name, value in content.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat
