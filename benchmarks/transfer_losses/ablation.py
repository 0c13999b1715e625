"""The worth of the parts of ``edl-robust``: itself less the same loss with another gate."""

from collections.abc import Sequence

from benchmarks.common.pages import markdown_table
from benchmarks.common.results_file import Row
from benchmarks.transfer_losses.settings import PROBLEM
from benchmarks.transfer_losses.summary import problem_name
from edl_jax.errors import EdlError
from edl_jax.statistics import Compared, compare

LOSS = "edl-robust"
OTHERS = {
    "robust-gate-open": "gate always open: no context, the shape behind it",
    "robust-gate-shut": "gate never open: no context, the shape before it",
    "robust-hand-gate": "gate by hand: confidence above 0.35",
    "edl-robust-1": "first generation: ranking alone, 10 classes, no context",
}


def differences(rows: Sequence[Row]) -> dict[tuple[str, float, str], dict[str, Compared]]:
    """``edl-robust`` less each of :data:`OTHERS`, by problem, label noise and protocol.

    In points of test accuracy, paired by seed; only where both have been measured with every seed.
    """
    groups: dict[tuple[str, float, str], dict[str, list[Row]]] = {}
    for row in rows:
        clean = row["label_noise"] == 0
        if row["protocol"] == "tuning" or (clean and row["protocol"] == "unaware"):
            continue
        protocol = "" if clean else row["protocol"]
        name = problem_name({field: row[field] for field in PROBLEM})
        points = {"seed": row["seed"], "points": 100 * row["test_accuracy"]}
        group = groups.setdefault((name, row["label_noise"], protocol), {})
        group.setdefault(row["loss"], []).append(points)
    found: dict[tuple[str, float, str], dict[str, Compared]] = {}
    for where, losses in groups.items():
        for other in OTHERS.keys() & losses.keys():
            try:
                compared = compare(losses.get(LOSS, []), losses[other], "points")
            except EdlError:  # not all seeds of both are there yet
                continue
            found.setdefault(where, {})[other] = compared
    return found


def table(rows: Sequence[Row]) -> str:
    """The differences as a Markdown table, a column for each other gate."""
    lines = []
    for (problem, noise, protocol), found in sorted(differences(rows).items()):
        cells = [problem, f"{noise:g}", protocol]
        for other in OTHERS:
            of = found.get(other)
            shown = f"{of.mean:+.2f}" if of else ""
            if of and of.interval:
                shown += f" [{of.interval[0]:+.2f}, {of.interval[1]:+.2f}]"
            cells.append(shown)
        lines.append(cells)
    return markdown_table(["problem", "label noise", "rate chosen", *OTHERS.values()], lines)
