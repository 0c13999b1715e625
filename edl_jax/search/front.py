"""The front of a rehearsing search: what is best in each trade-off between regimes.

One number cannot say how much a point in noise is worth on clean labels. So a search keeps, of its
last generations, the candidates that led in each regime. At its end all of them are rehearsed once
more, on fresh tasks, since the best of many noisy figures is flattered; and those of which no other
is at least as good in every regime are the front.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from edl_jax.config import RehearsalConfig
from edl_jax.errors import cannot
from edl_jax.files import write_json
from edl_jax.losses.artifact import ARTIFACT
from edl_jax.losses.learned import LearnedLoss
from edl_jax.losses.networks import Params
from edl_jax.objective.fitness import GAIN
from edl_jax.runs.directory import FRONT

GENERATIONS = 6  # how many of the last ones are remembered
FRESH_TASKS = 2  # times as many tasks of each regime as in a generation


class Member(NamedTuple):
    """A loss of the front, and its gains in accuracy over cross-entropy on fresh tasks."""

    loss: LearnedLoss
    gains: dict[str, float]


def empty_archive(candidate: Params, config: RehearsalConfig) -> Params:
    """An archive that remembers ``candidate`` alone, as often as it has places."""
    places = GENERATIONS * (1 + len(config.regimes))
    return jax.tree.map(lambda leaf: jnp.repeat(leaf[None], places, axis=0), candidate)


def remember(
    archive: Params, population: Params, fitness: jax.Array, terms: Mapping[str, jax.Array]
) -> Params:
    """Put a generation's leaders, in fitness and in each regime, in place of the oldest ones."""
    by_regime = [terms[name] for name in terms if name.startswith(GAIN)]
    scores = jnp.stack([-fitness, *by_regime])
    leaders = jnp.argmax(jnp.where(jnp.isnan(scores), -jnp.inf, scores), axis=1)
    return jax.tree.map(
        lambda kept, every: jnp.concatenate([kept[len(leaders) :], every[leaders]]),
        archive,
        population,
    )


def pool(archive: Params, incumbents: Sequence[Params]) -> list[Params]:
    """All candidates that may be on the front, each once.

    Args:
      archive: of one search, leaves (places, ...), or of several, (num_searches, places, ...).
      incumbents: what the searches stand for at their end, one each.
    """
    stacked = {
        name: np.concatenate(
            [np.reshape(archive[name], (-1, *leaf.shape)), *(one[name][None] for one in incumbents)]
        )
        for name, leaf in incumbents[0].items()
    }
    flat = np.concatenate([leaf.reshape(len(leaf), -1) for leaf in stacked.values()], axis=1)
    _, first = np.unique(flat, axis=0, return_index=True)
    return [{name: leaf[i] for name, leaf in stacked.items()} for i in np.sort(first).tolist()]


def non_dominated(gains: np.ndarray) -> np.ndarray:
    """Which rows no other row is at least as good as everywhere and better somewhere.

    Args:
      gains: (n, num_regimes), more is better.

    Returns:
      Boolean (n,).

    >>> non_dominated(np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 0.5]])).tolist()
    [True, True, False]
    """
    as_good = np.all(gains[:, None] >= gains[None], axis=-1)
    better = np.any(gains[:, None] > gains[None], axis=-1)
    return ~np.any(as_good & better, axis=0)


def write(directory: Path, members: Sequence[Member]) -> None:
    """Write ``front.json`` and each loss of the front, ``front/0/loss.npz`` and on.

    Raises:
      EdlError: a file cannot be written.
    """
    rows = []
    for i, member in enumerate(members):
        place = directory / "front" / str(i)
        try:
            place.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise cannot("write", place, error) from error
        member.loss.save(place / ARTIFACT)
        rows.append({"loss": f"front/{i}", "gains": member.gains})
    write_json(directory / FRONT, {"losses": rows})
