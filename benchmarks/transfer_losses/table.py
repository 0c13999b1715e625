"""The tables of ``transfer_losses``, made from its results file alone.

``python -m benchmarks.transfer_losses.table`` puts them between the marks of
``docs/transfer_losses.md``, the shortest on the README and the site's first page, and draws the
pictures.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common.pages import (
    DOCS,
    README,
    between_marks,
    folded,
    made_by,
    markdown_table,
    with_blocks,
)
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
    shortened,
    summarise,
)
from edl_jax.losses.artifact import NAMES, SHIPPED
from edl_jax.losses.loading import load_learned_loss

PAGE, HOME_PAGES = DOCS / "transfer_losses.md", (README, DOCS / "index.md")


def headline(lines: Iterable[Line]) -> str:
    """Accuracy and calibration with the MLP at a glance: a row a loss."""
    cells = {(0.0, "aware"): "clean", (0.4, "unaware"): "usual rate", (0.4, "aware"): "noise"}
    members = [
        line
        for line in most_compared(lines)
        if line["noise_kind"] == "symmetric" and (line["label_noise"], line["protocol"]) in cells
    ]
    shown = dict.fromkeys(line["loss"] for line in shortened(members))
    found = {(x["loss"], x["label_noise"], x["protocol"]): x for x in members}
    headings = [
        "loss",
        "clean (%)",
        "ECE",
        "NLL",
        "noisy, usual rate (%)",
        "noisy, tuned rate (%)",
        "ECE",
        "NLL",
    ]
    rows = []
    for loss in shown:
        clean, usual, tuned = (found.get((loss, *cell)) for cell in cells)
        rows.append([f"`{loss}`", *_figures(clean), _figures(usual)[0], *_figures(tuned)])
    return markdown_table(headings, rows)


def _figures(line: Line | None) -> list[str]:
    """Accuracy in %, ECE and NLL; empty where they are not known."""
    if line is None:
        return ["", "", ""]
    accuracy = f"{100 * line['test_accuracy']:.1f}"
    return [accuracy, *("" if line[f] is None else f"{line[f]:.2f}" for f in ("ece", "nll"))]


def overview(lines: Sequence[Line]) -> str:
    """Cross-entropy, the shipped losses and the best hand-made loss: a table for each problem."""
    headings = [
        "label noise",
        "rate chosen",
        "cross-entropy (CE, %)",
        *(f"`{name}` − CE" for name in SHIPPED),
        "best hand-made − CE",
        "`edl-robust` − best hand-made",
    ]
    out = []
    for problem, members in by_problem(lines):
        rows = []
        for cell in by_cell(members):
            of = {line["loss"]: line for line in cell}
            reference = of.get(REFERENCE)
            if reference is None:  # an ablation, which has a table of its own
                continue
            best = of.get(cell[0]["best"])
            cells = [noise_name(cell[0]), protocol_name(cell[0])]
            cells.append(f"{100 * reference['test_accuracy']:.2f}")
            cells += [_less(of.get(name), "difference") for name in SHIPPED]
            cells.append(f"`{best['loss']}` {_less(best, 'difference')}" if best else "")
            cells.append(_less(of.get("edl-robust"), "from_best"))
            rows.append(cells)
        if rows:
            out.append(f"**{problem}**\n\n{markdown_table(headings, rows)}")
    return "\n\n".join(out)


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
        out.append(folded(problem, markdown_table(headings, rows)))
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
        out.append(folded(problem, markdown_table(headings, rows)))
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


def blocks(content: dict[str, Any], lines: Sequence[Line]) -> dict[str, str]:
    """The blocks of ``docs/transfer_losses.md``, by mark."""
    return {
        "made_by": made_by(content, "transfer_losses", ("jax", "flax", "optax")),
        "transfer_losses": overview(lines),
        "all_losses": markdown(lines),
        "ablation": ablation.table(content["rows"]),
        "rates": spread(lines),
        "scales": scales(lines),
    }


def print_table(path: Path) -> None:
    """Print the table of the results file ``path``."""
    print(markdown(summarise(read_results(path)["rows"])))


def main() -> None:
    """Make tables and pictures from the committed results."""
    content = committed("transfer_losses")
    lines = summarise(content["rows"])
    PAGE.write_text(with_blocks(PAGE.read_text(), blocks(content, lines)))
    for page in HOME_PAGES:
        page.write_text(between_marks(page.read_text(), "headline", headline(lines)))
    draw_noise(lines, DOCS / "transfer_noise.png")
    draw_differences(lines, DOCS / "transfer_losses.png")


if __name__ == "__main__":
    main()
