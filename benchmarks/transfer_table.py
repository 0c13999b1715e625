"""The table and the plot of ``transfer_losses``, made from its results file alone.

``python -m benchmarks.transfer_table`` puts the table into the README, between two marks, and draws
``docs/transfer_losses.png``.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.results_file import RESULTS
from benchmarks.transfer_losses import KEY
from edl_jax.comparison import bootstrap_interval

REFERENCE = "cross_entropy"
PROBLEM = KEY[: KEY.index("loss")]
ROOT = Path(__file__).parent.parent
MARKS = ("<!-- transfer_losses -->\n", "\n<!-- /transfer_losses -->")


def summarise(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """One line for each problem, noise level, protocol and loss, compared with the reference.

    Args:
      rows: of the results file; tuning runs among them are left out.

    Returns:
      Lines with mean accuracy, NLL and ECE over the seeds, and the paired difference in accuracy
      to cross-entropy in points with its interval; None where a seed has no partner.
    """
    groups: dict[tuple, dict[str, dict[int, dict[str, Any]]]] = {}
    for row in rows:
        if row["protocol"] != "tuning":
            group = groups.setdefault(tuple(row[field] for field in PROBLEM), {})
            group.setdefault(row["loss"], {})[row["seed"]] = row
    lines = []
    for values_of_group, losses in groups.items():
        reference = losses.get(REFERENCE, {})
        for loss, seeds in losses.items():
            common = sorted(seeds.keys() & reference.keys())
            differences = [
                100 * (seeds[s]["test_accuracy"] - reference[s]["test_accuracy"]) for s in common
            ]
            line: dict[str, Any] = dict(zip(PROBLEM, values_of_group, strict=True))
            line |= {"loss": loss, "num_seeds": len(seeds)}
            line |= {"learning_rate": next(iter(seeds.values()))["learning_rate"]}
            for field in ("test_accuracy", "nll", "ece", "train_accuracy"):
                values = [row[field] for row in seeds.values() if row[field] is not None]
                line[field] = float(np.mean(values)) if values else None
            line["difference"] = float(np.mean(differences)) if differences else None
            line["interval"] = bootstrap_interval(differences) if len(differences) > 1 else None
            lines.append(line)
    return lines


def markdown(lines: Sequence[dict[str, Any]]) -> str:
    """The lines as a Markdown table, the best accuracy of each group in bold."""
    out = [
        "| problem | label noise | protocol | loss | lr | test accuracy (%) | "
        "less cross-entropy (points, 95 %) | ECE | seeds |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for line in lines:
        noise = f"{line['label_noise']:g}" + (
            " asymmetric" if line["noise_kind"] == "asymmetric" else ""
        )
        if line["label_noise"] == 0 and line["protocol"] == "unaware":
            continue  # on clean labels the protocols are one
        protocol = "" if line["label_noise"] == 0 else line["protocol"]
        shown = ""
        if line["interval"] is not None and line["loss"] != REFERENCE:
            low, high = line["interval"]
            shown = f"{line['difference']:+.2f} [{low:+.2f}, {high:+.2f}]"
        problem = f"{line['dataset']} {line['model']}, {line['train_size']:,} × {line['epochs']}"
        out.append(
            f"| {problem} | {noise} | {protocol} | {line['loss']} | {line['learning_rate']:g} | "
            f"{100 * line['test_accuracy']:.2f} | {shown} | {line['ece']:.3f} | "
            f"{line['num_seeds']} |"
        )
    return "\n".join(out)


def in_readme(text: str, table: str) -> str:
    """The README ``text`` with ``table`` between its two marks."""
    before, _, rest = text.partition(MARKS[0])
    _, _, after = rest.partition(MARKS[1])
    return before + MARKS[0] + table + MARKS[1] + after


def print_table(path: Path) -> None:
    """Print the table of the results file ``path``."""
    print(markdown(summarise(json.loads(path.read_text())["rows"])))


def draw(lines: Sequence[dict[str, Any]], path: Path) -> None:
    """Draw the difference to cross-entropy, a panel for each problem, noise level and protocol."""
    from edl_jax import plots

    panels: dict[tuple, list[dict[str, Any]]] = {}
    for line in lines:
        if line["interval"] is None or line["loss"] == REFERENCE:
            continue
        if line["label_noise"] == 0 and line["protocol"] == "unaware":
            continue
        noise = (line["label_noise"], line["noise_kind"])
        key = (line["dataset"], line["model"], *noise, line["protocol"])
        panels.setdefault(key, []).append(line)
    with plots.plt.rc_context(plots.STYLE):
        figure, axes = plots.plt.subplots(
            1, len(panels), figsize=(3.4 * len(panels), 3.2), squeeze=False, sharey=True
        )
        for axis, (key, members) in zip(axes.flat, panels.items(), strict=True):
            dataset, model, noise, _, protocol = key
            means = np.array([line["difference"] for line in members])
            bounds = np.array([line["interval"] for line in members]).T
            colors = ["tab:blue" if "edl" in line["loss"] else "0.5" for line in members]
            places = np.arange(len(members))
            axis.hlines(places, bounds[0], bounds[1], colors=colors)
            axis.scatter(means, places, c=colors, zorder=3)
            axis.axvline(0, color="0.35", linestyle="--", linewidth=1)
            axis.set_yticks(places, [line["loss"] for line in members])
            axis.invert_yaxis() if axis is axes.flat[0] else None
            label = "clean" if noise == 0 else f"noise {noise:g}, {protocol}"
            axis.set_title(f"{dataset} {model}\n{label}", fontsize=10)
            axis.set_xlabel("points above cross-entropy")
        plots.save(figure, path)


if __name__ == "__main__":
    summary = summarise(json.loads((RESULTS / "transfer_losses.json").read_text())["rows"])
    readme = ROOT / "README.md"
    readme.write_text(in_readme(readme.read_text(), markdown(summary)))
    draw(summary, ROOT / "docs" / "transfer_losses.png")
