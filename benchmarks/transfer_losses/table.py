"""The tables of ``transfer_losses``, made from its results file alone.

``python -m benchmarks.transfer_losses.table`` puts two short tables into the README, between marks,
writes ``docs/transfer_losses.md`` with every loss, and draws the pictures of both.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common.pages import DOCS, README, markdown_table, with_blocks
from benchmarks.common.results_file import committed, read_results
from benchmarks.transfer_losses import ablation
from benchmarks.transfer_losses.plot import draw_differences, draw_noise
from benchmarks.transfer_losses.summary import (
    REFERENCE,
    Line,
    by_cell,
    by_problem,
    most_compared,
    noise_name,
    place,
    problem_name,
    shortened,
    summarise,
)
from edl_jax.losses.artifact import NAMES, SHIPPED
from edl_jax.losses.loading import load_learned_loss


def headline(lines: Iterable[Line]) -> str:
    """Test accuracies with the MLP at a glance: a row a loss, a column a question."""
    columns = {(0.0, "aware"): "clean labels", (0.4, "unaware"): "40 % noise, usual rate"}
    columns[0.4, "aware"] = "40 % noise, rate tuned for it"
    members = [
        line
        for line in most_compared(lines)
        if line["noise_kind"] == "symmetric" and (line["label_noise"], line["protocol"]) in columns
    ]
    shown = dict.fromkeys(line["loss"] for line in shortened(members))
    found = {(x["loss"], x["label_noise"], x["protocol"]): x["test_accuracy"] for x in members}
    rows = []
    for loss in shown:
        cells = [found.get((loss, *column)) for column in columns]
        rows.append([f"`{loss}`", *("" if x is None else f"{100 * x:.1f}" for x in cells)])
    return markdown_table(["test accuracy (%)", *columns.values()], rows)


def overview(lines: Sequence[Line]) -> str:
    """Cross-entropy, the shipped losses and the best hand-made loss: a row for each comparison."""
    headings = [
        "problem",
        "label noise",
        "rate chosen",
        "cross-entropy (CE, %)",
        *(f"`{name}` − CE" for name in SHIPPED),
        "best hand-made − CE",
        "`edl-robust` − best hand-made",
    ]
    rows = []
    for problem, members in by_problem(lines):
        title = problem
        for cell in by_cell(members):
            of = {line["loss"]: line for line in cell}
            reference = of.get(REFERENCE)
            if reference is None:  # an ablation, which is on the page
                continue
            best = of.get(cell[0]["best"])
            cells = [title, noise_name(cell[0]), protocol_name(cell[0])]
            cells.append(f"{100 * reference['test_accuracy']:.2f}")
            cells += [_less(of.get(name), "difference") for name in SHIPPED]
            cells.append(f"`{best['loss']}` {_less(best, 'difference')}" if best else "")
            cells.append(_less(of.get("edl-robust"), "from_best"))
            rows.append(cells)
            title = ""
    return markdown_table(headings, rows)


def markdown(lines: Sequence[Line]) -> str:
    """All lines, a Markdown table for each problem."""
    headings = [
        "label noise",
        "rate chosen",
        "loss",
        "lr",
        "test accuracy (%)",
        "less cross-entropy",
        "less the best hand-made",
        "ECE",
        "seeds",
    ]
    out = []
    for problem, members in by_problem(lines):
        rows = []
        for line in members:
            is_best = line["loss"] == line["best"]
            cells = [
                noise_name(line),
                protocol_name(line),
                line["loss"] + (" (best hand-made)" if is_best else ""),
                f"{line['learning_rate']:g}",
                f"{100 * line['test_accuracy']:.2f}",
                "" if line["loss"] == REFERENCE else _less(line, "difference"),
                "" if is_best else _less(line, "from_best"),
                "" if line["ece"] is None else f"{line['ece']:.3f}",
                f"{line['num_seeds']}",
            ]
            rows.append(cells)
        out.append(f"### {problem}\n\n{markdown_table(headings, rows)}")
    return "\n\n".join(out)


def protocol_name(line: Line) -> str:
    """How the learning rate was chosen; nothing on clean labels, where the protocols are one."""
    return line["protocol"] if line["label_noise"] else ""


def _less(line: Line | None, to: str) -> str:
    """A paired difference in points, ``difference`` or ``from_best``, and its interval."""
    if line is None or line[to] is None:
        return ""
    interval = line["interval" if to == "difference" else f"{to}_interval"]
    text = f" [{interval[0]:+.2f}, {interval[1]:+.2f}]" if interval else ""
    return f"{line[to]:+.2f}{text}"


def spread(lines: Sequence[Line]) -> str:
    """How much accuracy depends on the learning rate, a Markdown table for each problem."""
    headings = [
        "label noise",
        "loss",
        "best rate",
        "accuracy on the noisy training labels (%)",
        "held-out accuracy: worst, median, best (%)",
        "rates tried",
    ]
    out = []
    for problem, members in by_problem(lines):
        rows = []
        for line in members:
            if line["protocol"] == "aware" and line["grid"]:
                grid = 100 * np.array(line["grid"])
                rows.append(
                    [
                        noise_name(line),
                        line["loss"],
                        f"{line['learning_rate']:g}",
                        f"{100 * line['train_accuracy']:.1f}",
                        f"{grid[0]:.1f}, {np.median(grid):.1f}, {grid[-1]:.1f}",
                        f"{len(grid)}",
                    ]
                )
        out.append(f"### {problem}: learning rates\n\n{markdown_table(headings, rows)}")
    return "\n\n".join(out)


def scales(lines: Sequence[Line]) -> str:
    """The best learning rate of each shipped loss with and without its scale."""
    headings = [
        "label noise",
        "loss",
        "scale",
        "best rate, as shipped",
        "best rate of the unscaled network",
        "best rate of cross-entropy",
    ]
    rows = []
    members = [x for x in most_compared(lines) if x["protocol"] == "aware"]
    reference = {place(x): x["learning_rate"] for x in members if x["loss"] == REFERENCE}
    for line in members:
        if line["loss"] in NAMES:
            scale, rate = float(load_learned_loss(line["loss"]).scale), line["learning_rate"]
            rows.append(
                [
                    noise_name(line),
                    line["loss"],
                    f"{scale:.3g}",
                    f"{rate:g}",
                    f"{scale * rate:.2g}",
                    f"{reference[place(line)]:g}",
                ]
            )
    return markdown_table(headings, rows)


def page(content: dict[str, Any], lines: Sequence[Line]) -> str:
    """The whole of ``docs/transfer_losses.md``."""
    commits = dict.fromkeys(row["commit"][:7] for row in content["rows"] if row["commit"])
    versions = content["meta"]["environment"]
    mlp = problem_name(most_compared(lines)[0])
    return f"""# Transfer of losses

Made by `python -m benchmarks.transfer_losses.table` from `benchmarks/results/transfer_losses.json`,
whose rows come from `python -m benchmarks.transfer_losses` at commits
{", ".join(commits)}
with jax {versions["jax"]}, flax {versions["flax"]} and optax {versions["optax"]} on
{versions["device"]}.
Differences are in points of test accuracy at the end of training, paired by seed, with a 95 %
bootstrap interval. *aware*: the learning rate is chosen on held-out training images with the same
noise; *unaware*: on clean ones, then used under noise. Asymmetric noise turns a class into one
fixed other class.

Sizes are such that two processor cores need some hours. With the MLP a run takes seconds, so each
loss shown is run there at every learning rate. With a ResNet a run takes minutes; the cells are
those that say when a robust loss helps: many images and few epochs, so that noise cannot be
learned, and few images and many epochs, so that all of it can (accuracies on noisy training
labels are below; with 40 % of the labels replaced by one of ten classes drawn at random, a
network that knows every right label and no wrong one is at 64 %).

![Points above cross-entropy](transfer_losses.png)

## Test accuracy

{markdown(lines)}

## What the parts of edl-robust are worth

`edl-robust` less the same two shapes with another gate, and less the first generation, each at its
own learning rate: above 0, what `edl-robust` has is worth it.

{ablation.table(content["rows"])}

## How much the learning rate matters

Held-out images carry the same noise as the training images.

{spread(lines)}

## What the scale does

Without weight decay, training with c L at learning rate r is training with L at c r, so the best
rate of the unscaled network follows from that of the shipped loss. Here: {mlp}.

{scales(lines)}
"""


def print_table(path: Path) -> None:
    """Print the table of the results file ``path``."""
    print(markdown(summarise(read_results(path)["rows"])))


def main() -> None:
    """Make everything anew from the committed results."""
    content = committed("transfer_losses")
    lines = summarise(content["rows"])
    tables = {"headline": headline(lines), "transfer_losses": overview(lines)}
    README.write_text(with_blocks(README.read_text(), tables))
    (DOCS / "transfer_losses.md").write_text(page(content, lines))
    draw_noise(lines, DOCS / "transfer_noise.png")
    draw_differences(lines, DOCS / "transfer_losses.png")


if __name__ == "__main__":
    main()
