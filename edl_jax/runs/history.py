"""The rows of ``metrics.jsonl``: fewer of a long search, and what failed in it."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

Row = Mapping[str, Any]
"""A line of ``metrics.jsonl``: numbers and names; ``None`` is a number that is not finite."""


def thinned(history: Iterable[Row], num_generations: int, most: int = 2000) -> Iterator[Row]:
    """Rows of ``metrics.jsonl`` spread evenly over a search: ``most`` of each kind at the most.

    The kinds are those with and those without a held-out figure.

    >>> rows = ({"generation": i} for i in range(1, 101))
    >>> [row["generation"] for row in thinned(rows, 100, most=4)]
    [1, 25, 50, 75, 100]
    """
    last: dict[bool, int] = {}
    for row in history:
        kind, place = "held_out_discordance" in row, row["generation"] * most // num_generations
        if last.get(kind) != place:
            last[kind] = place
            yield row


def count_failures(history: Iterable[Row], num_candidates: int) -> dict[str, int]:
    """How many candidates had no finite fitness, and in how many generations none had one."""
    failed = [row["num_failed"] for row in history if row["num_failed"]]
    return {
        "failed_candidates": sum(failed),
        "failed_generations": failed.count(num_candidates),
    }
