"""A summary of the rows of ``transfer_losses``: means over seeds and differences paired by seed."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any

import numpy as np

from benchmarks.common.results_file import Row
from benchmarks.transfer_losses.settings import PROBLEM, SETTING
from edl_jax.losses.artifact import EARLIER, SHIPPED
from edl_jax.losses.handmade import LOSSES
from edl_jax.statistics import bootstrap_interval
from edl_jax.training.config import NOISE_KINDS

REFERENCE = "cross_entropy"

Line = dict[str, Any]
Place = tuple[Any, ...]


def summarise(rows: Sequence[Row]) -> list[Line]:
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
    groups: dict[Place, dict[str, dict[int, Row]]] = {}
    grids: dict[Place, list[float]] = {}
    for row in rows:
        problem = tuple(row[field] for field in PROBLEM)
        if row["protocol"] == "tuning":
            grids.setdefault((*problem, row["loss"]), []).append(row["test_accuracy"])
        elif row["label_noise"] > 0 or row["protocol"] == "aware":
            # On clean labels the protocols are one.
            group = groups.setdefault((*problem, row["protocol"]), {})
            group.setdefault(row["loss"], {})[row["seed"]] = row
    lines = []
    for (*where, protocol), losses in groups.items():
        handmade = {
            name: _mean(losses[name], "test_accuracy")
            for name in losses
            if name.partition(":")[0] in LOSSES
        }
        # Of one alone there is no best.
        best = max(handmade, key=lambda name: handmade[name] or 0.0) if len(handmade) > 1 else None
        for loss, seeds in losses.items():
            line: Line = dict(zip(PROBLEM, where, strict=True))
            line |= {"protocol": protocol, "loss": loss, "num_seeds": len(seeds), "best": best}
            line |= {"learning_rate": next(iter(seeds.values()))["learning_rate"]}
            for field in ("test_accuracy", "nll", "ece", "train_accuracy"):
                line[field] = _mean(seeds, field)
            line["grid"] = sorted(grids.get((*where, loss), []))
            line["difference"], line["interval"] = _paired(seeds, losses.get(REFERENCE, {}))
            of_best = losses[best] if best else {}
            line["from_best"], line["from_best_interval"] = _paired(seeds, of_best)
            lines.append(line)
    names = dict.fromkeys((REFERENCE, *SHIPPED, *EARLIER, *LOSSES))
    order = {name: i for i, name in enumerate(names)}
    last = len(order)
    lines.sort(key=lambda line: (place(line), order.get(line["loss"], last)))
    return lines


def place(line: Line) -> Place:
    """The comparison that a line belongs to: a sort key for problem, label noise and protocol."""
    protocols = ("unaware", "aware")
    noise = (NOISE_KINDS.index(line["noise_kind"]), line["label_noise"])
    return (*(line[field] for field in SETTING), *noise, protocols.index(line["protocol"]))


def _mean(seeds: dict[int, Row], field: str) -> float | None:
    values = [row[field] for row in seeds.values()]
    return None if None in values else float(np.mean(values))


def _paired(
    own: dict[int, Row], other: dict[int, Row]
) -> tuple[float | None, tuple[float, float] | None]:
    common = sorted(own.keys() & other.keys())
    points = [100 * (own[s]["test_accuracy"] - other[s]["test_accuracy"]) for s in common]
    if not points:
        return None, None
    return float(np.mean(points)), bootstrap_interval(points) if len(points) > 1 else None


def shortened(lines: Iterable[Line]) -> list[Line]:
    """Cross-entropy, the shipped losses, and the best hand-made loss of each group."""
    return [line for line in lines if line["loss"] in (REFERENCE, *SHIPPED, line["best"])]


def by_problem(lines: Iterable[Line]) -> Iterator[tuple[str, list[Line]]]:
    """Sorted lines in groups of one problem, whatever its label noise, each with its name."""
    for name, group in groupby(lines, key=problem_name):
        yield name, list(group)


def most_compared(lines: Iterable[Line]) -> list[Line]:
    """The lines of the problem that has most of them: the MLP, with which every loss is run."""
    return max((members for _, members in by_problem(lines)), key=len)


def by_cell(lines: Iterable[Line]) -> Iterator[list[Line]]:
    """Sorted lines in groups of one problem, label noise and protocol: what can be compared."""
    for _, group in groupby(lines, key=place):
        yield list(group)


def problem_name(line: Line) -> str:
    """Data set, network, size and, where they are unusual, batch size and optimizer."""
    batch = f", batches of {line['batch_size']}" if line["batch_size"] != 128 else ""
    optimizer = ", AdamW" if line["optimizer"] == "adamw" else ""
    return (
        f"{line['dataset']}, {line['model']} of width {line['width']}, "
        f"{line['train_size']:,} examples × {line['epochs']} epochs{batch}{optimizer}"
    )


def noise_name(line: Line) -> str:
    """The noise level, and its kind where it is not symmetric."""
    kind = line["noise_kind"]
    return f"{line['label_noise']:g}{'' if kind == 'symmetric' else f' {kind}'}"
