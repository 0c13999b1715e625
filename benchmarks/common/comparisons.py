"""Tools of the tables of speed: ratios within a repeat, and what a results file says of itself.

In a repeat everything that is compared takes its turn, so a ratio of two turns of one repeat is
free of what slows the machine for a while.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.common.results_file import Row


def paired_ratios(rows: Sequence[Row], one: Row, other: Row, quantity: str) -> np.ndarray:
    """``quantity`` of the rows with the fields ``one`` over those with ``other``, by repeat.

    >>> rows = [{"of": "a", "repeat": 0, "s": 2.0}, {"of": "b", "repeat": 0, "s": 1.0}]
    >>> paired_ratios(rows, {"of": "a"}, {"of": "b"}, "s")
    array([2.])
    """

    def of(fields: Row) -> dict[int, float]:
        return {row["repeat"]: row[quantity] for row in rows if fields.items() <= row.items()}

    above, below = of(one), of(other)
    return np.array([above[repeat] / below[repeat] for repeat in sorted(above.keys() & below)])


def source(content: dict[str, Any], benchmark: str) -> str:
    """A sentence on how a results file was made."""
    about = content["meta"]
    versions = {**about["environment"], **about}
    named = ", ".join(
        f"{name} {versions[name]}"
        for name in ("jax", "evosax", "numpy", "torch", "evotorch")
        if name in versions
    )
    return (
        f"Measured by `python -m benchmarks.{benchmark}` at commit {str(about['commit'])[:7]} with "
        f"{named} on {about['num_processors']} processors ({about['cpu']})."
    )
