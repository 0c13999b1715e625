"""The tables and the plot of ``transfer_losses``, made from its results file alone.

``python -m benchmarks.transfer_table`` puts two short tables into the README, between marks,
writes ``docs/transfer_losses.md`` with every loss, and draws ``docs/transfer_losses.png``.
"""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.results_file import RESULTS, between_marks
from benchmarks.transfer_losses import PROBLEM
from edl_jax.comparison import bootstrap_interval
from edl_jax.losses import LOSSES, SHIPPED, load_loss

REFERENCE = "cross_entropy"
ROOT = Path(__file__).parent.parent

Line = dict[str, Any]


def summarise(rows: Sequence[dict[str, Any]]) -> list[Line]:
    """One line for each problem, noise level, protocol and loss.

    Args:
      rows: of the results file.

    Returns:
      Lines with the means over the seeds of accuracy, NLL and ECE; the paired differences in
      accuracy, in points, to cross-entropy (``difference``, ``interval``) and, where several
      hand-made losses were run, to the one with the best mean (``from_best``,
      ``from_best_interval``, ``best``); and the held-out accuracies of the tuning runs (``grid``).
      None where a figure is missing.
    """
    groups: dict[tuple, dict[str, dict[int, dict[str, Any]]]] = {}
    grids: dict[tuple, list[float]] = {}
    for row in rows:
        problem = tuple(row[field] for field in PROBLEM)
        if row["protocol"] == "tuning":
            grids.setdefault((*problem, row["loss"]), []).append(row["test_accuracy"])
        elif row["label_noise"] > 0 or row["protocol"] == "aware":
            # On clean labels the protocols are one.
            group = groups.setdefault((*problem, row["protocol"]), {})
            group.setdefault(row["loss"], {})[row["seed"]] = row
    lines = []
    for (*place, protocol), losses in groups.items():
        handmade = {name: _mean(losses[name], "test_accuracy") for name in losses if name in LOSSES}
        # Of one alone there is no best.
        best = max(handmade, key=lambda name: handmade[name] or 0.0) if len(handmade) > 1 else None
        for loss, seeds in losses.items():
            line: Line = dict(zip(PROBLEM, place, strict=True))
            line |= {"protocol": protocol, "loss": loss, "num_seeds": len(seeds), "best": best}
            line |= {"learning_rate": next(iter(seeds.values()))["learning_rate"]}
            for field in ("test_accuracy", "nll", "ece", "train_accuracy"):
                line[field] = _mean(seeds, field)
            line["grid"] = sorted(grids.get((*place, loss), []))
            line["difference"], line["interval"] = _paired(seeds, losses.get(REFERENCE, {}))
            of_best = losses[best] if best else {}
            line["from_best"], line["from_best_interval"] = _paired(seeds, of_best)
            lines.append(line)
    order = {name: i for i, name in enumerate(dict.fromkeys((REFERENCE, *SHIPPED, *LOSSES)))}
    last = len(order)
    lines.sort(key=lambda line: (_place(line), order.get(line["loss"], last)))
    return lines


def _place(line: Line) -> tuple:
    protocols = ("unaware", "aware")
    noise = (line["noise_kind"] == "asymmetric", line["label_noise"])
    return (*(line[field] for field in PROBLEM[:5]), *noise, protocols.index(line["protocol"]))


def _mean(seeds: dict[int, dict[str, Any]], field: str) -> float | None:
    values = [row[field] for row in seeds.values()]
    return None if None in values else float(np.mean(values))


def _paired(own: dict[int, Any], other: dict[int, Any]) -> tuple[float | None, Any]:
    common = sorted(own.keys() & other.keys())
    points = [100 * (own[s]["test_accuracy"] - other[s]["test_accuracy"]) for s in common]
    if not points:
        return None, None
    return float(np.mean(points)), bootstrap_interval(points) if len(points) > 1 else None


def shortened(lines: Iterable[Line]) -> list[Line]:
    """Cross-entropy, the shipped losses, and the best hand-made loss of each group."""
    return [line for line in lines if line["loss"] in (REFERENCE, *SHIPPED, line["best"])]


def headline(lines: Iterable[Line]) -> str:
    """Test accuracies with the MLP at a glance: a row a loss, a column a question."""
    columns = {(0.0, "aware"): "clean labels", (0.4, "unaware"): "40 % noise, usual rate"}
    columns[0.4, "aware"] = "40 % noise, rate tuned for it"
    members = [
        line
        for line in lines
        if line["model"] == "mlp"
        and line["noise_kind"] == "symmetric"
        and (line["label_noise"], line["protocol"]) in columns
    ]
    shown = dict.fromkeys(line["loss"] for line in shortened(members))
    found = {(x["loss"], x["label_noise"], x["protocol"]): x["test_accuracy"] for x in members}
    out = [f"| test accuracy (%) | {' | '.join(columns.values())} |", "|---" * 4 + "|"]
    for loss in shown:
        cells = [found.get((loss, *column)) for column in columns]
        texts = ["" if value is None else f"{100 * value:.1f}" for value in cells]
        out.append(f"| `{loss}` | {' | '.join(texts)} |")
    return "\n".join(out)


def markdown(lines: Sequence[Line]) -> str:
    """The lines as a Markdown table."""
    out = [
        "| problem | label noise | protocol | loss | lr | test accuracy (%) | less cross-entropy "
        "| less the best hand-made | ECE | seeds |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for line in lines:
        cells = [
            problem_name(line),
            noise_name(line),
            line["protocol"] if line["label_noise"] else "",
            line["loss"] + (" (best hand-made)" if line["loss"] == line["best"] else ""),
            f"{line['learning_rate']:g}",
            f"{100 * line['test_accuracy']:.2f}",
            "" if line["loss"] == REFERENCE else _points(line["difference"], line["interval"]),
            ""
            if line["loss"] == line["best"]
            else _points(line["from_best"], line["from_best_interval"]),
            "" if line["ece"] is None else f"{line['ece']:.3f}",
            f"{line['num_seeds']}",
        ]
        out.append(f"| {' | '.join(cells)} |")
    return "\n".join(out)


def _points(mean: float | None, interval: Any) -> str:
    if mean is None:
        return ""
    return f"{mean:+.2f}" + (f" [{interval[0]:+.2f}, {interval[1]:+.2f}]" if interval else "")


def problem_name(line: Line) -> str:
    """Data set, network and size in a few words."""
    return (
        f"{line['dataset']}, {line['model']} of width {line['width']}, "
        f"{line['train_size']:,} images × {line['epochs']} epochs"
    )


def noise_name(line: Line) -> str:
    """The noise level, and its kind where it is not symmetric."""
    kind = " asymmetric" if line["noise_kind"] == "asymmetric" else ""
    return f"{line['label_noise']:g}{kind}"


def spread(lines: Sequence[Line]) -> str:
    """How much accuracy depends on the learning rate, as a Markdown table."""
    out = [
        "| problem | label noise | loss | best rate | accuracy on noisy training labels (%) | "
        "held-out accuracy over the rates tried: worst, median, best (%) | rates |",
        "|---|---|---|---|---|---|---|",
    ]
    for line in lines:
        if line["protocol"] == "aware" and line["grid"]:
            grid = 100 * np.array(line["grid"])
            out.append(
                f"| {problem_name(line)} | {noise_name(line)} | {line['loss']} | "
                f"{line['learning_rate']:g} | {100 * line['train_accuracy']:.1f} | "
                f"{grid[0]:.1f}, {np.median(grid):.1f}, {grid[-1]:.1f} | {len(grid)} |"
            )
    return "\n".join(out)


def scales(lines: Sequence[Line]) -> str:
    """The best learning rate of each shipped loss with and without its scale."""
    out = [
        "| problem | label noise | loss | scale | best rate, as shipped | "
        "best rate of the unscaled network | best rate of cross-entropy |",
        "|---|---|---|---|---|---|---|",
    ]
    rates = {
        (_place(line), line["loss"]): line["learning_rate"]
        for line in lines
        if line["model"] == "mlp" and line["protocol"] == "aware"
    }
    for line in lines:
        key = (_place(line), line["loss"])
        if key in rates and line["loss"] in SHIPPED:
            scale = float(load_loss(line["loss"]).scale)
            out.append(
                f"| {problem_name(line)} | {noise_name(line)} | {line['loss']} | {scale:.3g} | "
                f"{rates[key]:g} | {scale * rates[key]:.2g} | "
                f"{rates.get((key[0], REFERENCE), float('nan')):g} |"
            )
    return "\n".join(out)


def page(content: dict[str, Any], lines: Sequence[Line]) -> str:
    """The whole of ``docs/transfer_losses.md``."""
    commits = dict.fromkeys(row["commit"][:7] for row in content["rows"] if row["commit"])
    versions = content["meta"]["environment"]
    return f"""# Transfer of losses

Made by `python -m benchmarks.transfer_table` from `benchmarks/results/transfer_losses.json`, whose
rows come from `python -m benchmarks.transfer_losses` at commits {", ".join(commits)} with jax
{versions["jax"]}, flax {versions["flax"]} and optax {versions["optax"]} on {versions["device"]}.
Differences are in points of test accuracy at the end of training, paired by seed, with a 95 %
bootstrap interval. *aware*: the learning rate is chosen on held-out training images with the same
noise; *unaware*: on clean ones, then used under noise.

Sizes are such that two processor cores need some hours. With the MLP a run takes seconds, so each
loss shown is run there at every learning rate. With ResNet-8 a run takes minutes; the cells are
those that say when a robust loss helps: many images and few epochs, so that noise cannot be
learned, and few images and many epochs, so that all of it can (accuracies on noisy training
labels are in the second table; with 40 % of the labels replaced by one of ten classes drawn
at random, a network that knows every right label and no wrong one is at 64 %).

{markdown(lines)}

## How much the learning rate matters

Held-out images carry the same noise as the training images.

{spread(lines)}

## What the scale does

Without weight decay, training with c L at learning rate r is training with L at c r, so the best
rate of the unscaled network follows from that of the shipped loss.

{scales(lines)}
"""


def print_table(path: Path) -> None:
    """Print the table of the results file ``path``."""
    print(markdown(summarise(json.loads(path.read_text())["rows"])))


def draw(lines: Sequence[Line], path: Path) -> None:
    """Draw the difference to cross-entropy: a row for each problem, a panel for each noise."""
    from edl_jax import plots

    rows: dict[str, dict[str, list[Line]]] = {}
    for line in lines:
        if line["interval"] is None or line["loss"] == REFERENCE:
            continue
        protocol = f", {line['protocol']}" if line["label_noise"] else ""
        level = f"label noise {noise_name(line)}{protocol}"
        rows.setdefault(problem_name(line), {}).setdefault(level, []).append(line)
    columns = max(map(len, rows.values()))
    tallest = [max(map(len, panels.values())) for panels in rows.values()]
    with plots.plt.rc_context(plots.STYLE):
        figure, axes = plots.plt.subplots(
            len(rows),
            columns,
            figsize=(2.9 * columns, 1.2 * len(rows) + 0.19 * sum(tallest)),
            height_ratios=[size + 1 for size in tallest],
            squeeze=False,
        )
        for of_row, (problem, panels) in zip(axes, rows.items(), strict=True):
            for axis in of_row[len(panels) :]:
                axis.axis("off")
            for axis, (level, members) in zip(of_row, panels.items(), strict=False):
                _panel(axis, members)
                axis.set_title(level, fontsize=9, loc="left")
            of_row[0].set_title(f"{problem}\n\n{next(iter(panels))}", fontsize=9, loc="left")
        figure.supxlabel("points of test accuracy above cross-entropy (asinh scale)", fontsize=9)
        plots.save(figure, path)


def _panel(axis: Any, members: Sequence[Line]) -> None:
    means = np.array([line["difference"] for line in members])
    bounds = np.array([line["interval"] for line in members]).T
    colors = ["tab:blue" if line["loss"] in SHIPPED else "0.5" for line in members]
    places = np.arange(len(members))
    axis.hlines(places, bounds[0], bounds[1], colors=colors)
    axis.scatter(means, places, c=colors, s=14, zorder=3)
    axis.axvline(0, color="0.35", linestyle="--", linewidth=1)
    # A loss that fails altogether is tens of points away from those that are compared.
    axis.set_xscale("asinh", linear_width=1.0)
    ends = np.arcsinh([min(bounds.min(), 0), max(bounds.max(), 0)])
    low, high = np.sinh(ends + 0.06 * np.ptp(ends) * np.array([-1, 1]))
    steps = (-80, -30, -10, -3, -1, 0, 1, 3, 10, 20)
    axis.set_xticks([x for x in steps if low <= x <= high])
    axis.xaxis.set_major_formatter("{x:g}")
    axis.minorticks_off()
    axis.set_xlim(low, high)
    axis.set_yticks(places, [line["loss"] for line in members], fontsize=8)
    axis.set_ylim(-0.7, len(members) - 0.3)
    axis.tick_params(axis="x", labelsize=7)
    axis.invert_yaxis()


def main() -> None:
    """Make everything anew from the committed results."""
    content = json.loads((RESULTS / "transfer_losses.json").read_text())
    lines = summarise(content["rows"])
    readme = ROOT / "README.md"
    text = between_marks(readme.read_text(), "headline", headline(lines))
    readme.write_text(between_marks(text, "transfer_losses", markdown(shortened(lines))))
    (ROOT / "docs" / "transfer_losses.md").write_text(page(content, lines))
    draw(lines, ROOT / "docs" / "transfer_losses.png")


if __name__ == "__main__":
    main()
