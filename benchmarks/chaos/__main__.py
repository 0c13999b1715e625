"""Do the chaotic maps stay chaotic? Their orbits against what is known of the maps.

    python -m benchmarks.chaos

runs every map over 1,000 orbits of 100,000 steps, writes ``benchmarks/results/chaos.json``, the
table in ``docs/maps.md`` and the picture ``docs/chaos.png``. Some two minutes on one core. Cells
that the results file holds are not run again.
"""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.common.results_file import RESULTS, ResultsFile
from edl_jax import cli
from edl_jax.chaos.maps import MAPS, ChaoticMap
from edl_jax.errors import require

PROG = "python -m benchmarks.chaos"
ROOT = Path(__file__).parent.parent.parent
MARKS = ("<!-- chaos -->\n", "\n<!-- /chaos -->")
CHUNK, BINS, PICTURE_BINS, LAGS = 1000, 4096, 64, 8


@dataclass(frozen=True)
class ChaosConfig:
    """Check that the chaotic maps follow their laws and never collapse."""

    orbits: int = 1000
    """Orbits of each map."""
    steps: int = 100_000
    """Length of each orbit, in thousands of steps."""
    seed: int = 0
    """Seed of the starts."""
    output: Path | None = None
    """Results file; without it benchmarks/results/chaos.json, and the page and picture too."""

    def __post_init__(self) -> None:
        require(self.orbits >= 1, "orbits", self.orbits, "a whole number of at least 1")
        ok = self.steps >= CHUNK and self.steps % CHUNK == 0
        require(ok, "steps", self.steps, "a positive multiple of 1000")


@partial(jax.jit, static_argnums=(0, 2))
def _run_chunk(chaos: ChaoticMap, carry: Any, keep: bool) -> tuple[Any, tuple[Any, Any]]:
    """``CHUNK`` steps: the carry, the mean growth of deviations at each, and the values."""

    def step(carry: Any, _: None) -> tuple[Any, tuple[Any, Any]]:
        state, before, growth, counts = carry
        state, x = chaos.step(state)
        history = (x, *before)[: chaos.order]
        slope, *coupling = chaos.slopes(*history)
        # An infinitesimal deviation obeys d' = slope d + coupling d_before.
        growth = slope + (coupling[0] / growth if coupling else 0.0)
        # A float32 value lies within 2**-25 of where the slope is 0: the logarithm ends there.
        growth = jnp.where(jnp.abs(growth) < 2.0**-24, 2.0**-24, growth)
        cells = (chaos.law.cdf(x) * BINS).astype(jnp.int32)
        counts = counts.at[jnp.clip(cells, 0, BINS - 1)].add(1)
        carry = state, history[: chaos.order - 1], growth, counts
        return carry, (jnp.log(jnp.abs(growth)).mean(), x if keep else None)

    return jax.lax.scan(step, carry, length=CHUNK)


def measure(name: str, orbits: int, steps: int, seed: int = 0) -> dict[str, Any]:
    """What the orbits of a map show after ``steps`` steps, a multiple of 1,000.

    Returns:
      A row of the results file. ``ks``: the most by which the distribution function of all values
      can differ from the law's; ``distinct``: the least share of distinct values in an orbit's
      last 1,000 steps; ``stuck``: share of orbits whose last 1,000 values are one; ``lyapunov``:
      the largest exponent, from the formula's slopes along the orbits.
    """
    chaos, began = MAPS[name], time.perf_counter()
    state = chaos.init(jax.random.key(seed), (orbits,))
    before: tuple[jax.Array, ...] = ()
    for _ in range(chaos.order - 1):
        state, x = chaos.step(state)
        before = (x, *before)
    carry = state, before, jnp.ones(orbits), jnp.zeros(BINS, jnp.int32)
    logs = []
    for start in range(0, steps, CHUNK):
        carry, (log_growth, values) = _run_chunk(chaos, carry, start + CHUNK == steps)
        logs.append(np.asarray(log_growth, np.float64))
    last = np.asarray(values)
    cumulated = np.cumsum(np.asarray(carry[3])) / (orbits * steps)
    distance = np.abs(cumulated - np.arange(1, BINS + 1) / BINS).max()
    distinct = np.array([len(np.unique(orbit)) for orbit in last.T])
    row = {
        "map": name,
        "orbits": orbits,
        "steps": steps,
        "seed": seed,
        # Between the edges of the bins, the distance can be larger by a bin's mass.
        "ks": float(distance + 1 / BINS),
        "distinct": float(distinct.min() / CHUNK),
        "stuck": float((distinct == 1).mean()),
        "lyapunov": float(np.mean(logs)),
        "lyapunov_known": chaos.law.lyapunov,
        "mean": float(last.mean(dtype=np.float64)),
        "variance": float(last.var(dtype=np.float64)),
        "mean_known": chaos.law.mean,
        "variance_known": chaos.law.variance,
        "histogram": np.histogram(last, PICTURE_BINS, (0, 1))[0].tolist(),
        "autocorrelation": _autocorrelation(last),
    }
    if name == "logistic_float32":
        row["collapse"] = collapse(carry[0])
    return {**row, "seconds": round(time.perf_counter() - began, 1)}


def _autocorrelation(values: np.ndarray) -> list[float]:
    centred = values.astype(np.float64) - values.mean(dtype=np.float64)
    power = max(float((centred**2).mean()), np.finfo(float).tiny)
    return [
        float((centred[lag:] * centred[: len(values) - lag]).mean() / power)
        for lag in range(1, LAGS + 1)
    ]


def collapse(x: jax.Array, most: int = 20_000) -> dict[str, Any]:
    """Where the orbits of the plain float32 iteration are, from their present values ``x``.

    Returns:
      ``at_zero``: share of orbits at exactly 0; ``cycle``: length of the longest cycle found in
      ``most`` steps; ``in_cycle``: share of orbits in it; ``values``: how many distinct values
      all orbits together still take.
    """
    chaos = MAPS["logistic_float32"]

    @jax.jit
    def trace(x: jax.Array) -> jax.Array:
        return jax.lax.scan(lambda s, _: (chaos.step(s)[0], s), x, length=most)[1]

    # Orbits at the same value have one future.
    starts, orbits = np.unique(np.asarray(x), return_counts=True)
    values = np.asarray(trace(jnp.asarray(starts)))
    returns = values[1:] == values[0]
    period = np.where(returns.any(0), returns.argmax(0) + 1, 0)
    longest = int(period.max())
    return {
        "at_zero": float(orbits[starts == 0].sum() / orbits.sum()),
        "cycle": longest,
        "in_cycle": float(orbits[period == longest].sum() / orbits.sum()),
        "values": len(np.unique(values)),
    }


# --- the page and the picture ------------------------------------------------------------------


def markdown(rows: Sequence[dict[str, Any]]) -> str:
    """The table of ``docs/maps.md``."""
    lines = [
        "| map | KS distance to the law, at most | distinct among an orbit's last 1,000 values,"
        " at least | orbits stuck | largest Lyapunov exponent: measured | known |"
        " autocorrelation at lags 1, 2, 3 |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        # Adding 0 turns a rounded -0 into 0.
        lags = ", ".join(f"{round(value, 2) + 0.0:+.2f}" for value in row["autocorrelation"][:3])
        lines.append(
            f"| `{row['map']}` | {row['ks']:.5f} | {row['distinct']:.1%} | {row['stuck']:.1%} "
            f"| {row['lyapunov']:.4f} | {row['lyapunov_known']:.4f} | {lags} |"
        )
    found = next(row for row in rows if "collapse" in row)
    at = found["collapse"]
    size = f"{found['orbits']:,} orbits of {found['steps']:,} steps"
    lines += [
        "",
        f"{size} each. At their end, {at['at_zero']:.1%} of the orbits of `logistic_float32` are "
        f"at exactly 0 and {at['in_cycle']:.1%} in one cycle of {at['cycle']:,} steps; all of them "
        f"together take {at['values']:,} distinct values from then on.",
    ]
    return "\n".join(lines)


def in_page(text: str, table: str) -> str:
    """The page ``text`` with ``table`` between its two marks."""
    before, _, rest = text.partition(MARKS[0])
    _, _, after = rest.partition(MARKS[1])
    return before + MARKS[0] + table + MARKS[1] + after


def draw(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """A row of two panels for each map: its values against the law, its autocorrelation."""
    from edl_jax import plots

    columns = 3
    height = -(-len(rows) // columns)
    with plots.plt.style.context(plots.STYLE):
        figure, axes = plots.plt.subplots(
            height, 2 * columns, figsize=(12, 2.1 * height), width_ratios=[3, 2] * columns
        )
        panels = axes.reshape(-1, 2)
        for row, (left, right) in zip(rows, panels, strict=False):
            edges = np.linspace(0, 1, PICTURE_BINS + 1)
            share = np.array(row["histogram"]) / np.sum(row["histogram"]) * PICTURE_BINS
            cdf = np.asarray(MAPS[row["map"]].law.cdf(jnp.asarray(edges, jnp.float32)), float)
            left.stairs(share, edges, fill=True, color="tab:blue", alpha=0.45)
            left.stairs(np.diff(cdf) * PICTURE_BINS, edges, color="0.2", linewidth=1)
            left.set_title(row["map"], fontsize=9)
            left.set_ylim(0, 6)
            right.bar(range(1, LAGS + 1), row["autocorrelation"], color="tab:blue", width=0.6)
            right.axhline(0, color="0.2", linewidth=1)
            right.set_ylim(-1, 1)
            for axis in (left, right):
                axis.tick_params(labelsize=7)
        for axis in panels[len(rows) :].ravel():
            axis.set_axis_off()
        for left, right in panels[-columns:]:
            left.set_xlabel("value", fontsize=8)
            right.set_xlabel("lag", fontsize=8)
        figure.suptitle("Densities (blue: orbits, line: law) and autocorrelations", fontsize=10)
        plots.save(figure, path)


def command(args: list[str] | None = None) -> None:
    """Run the command line ``args``."""
    config = cli.parse(ChaosConfig, args, prog=PROG)
    path = config.output or RESULTS / "chaos.json"
    results = ResultsFile(path, ("map", "orbits", "steps", "seed"))
    rows = []
    for name in MAPS:
        cell = {"map": name, "orbits": config.orbits, "steps": config.steps, "seed": config.seed}
        if results.find(cell) is None:
            results.add(measure(name, config.orbits, config.steps, config.seed))
        rows.append(results.find(cell))
    found = [row for row in rows if row is not None]
    print(markdown(found))
    if config.output is None:
        page = ROOT / "docs" / "maps.md"
        page.write_text(in_page(page.read_text(), markdown(found)))
        draw(found, ROOT / "docs" / "chaos.png")


def committed() -> list[dict[str, Any]]:
    """The rows of the committed results file."""
    return json.loads((RESULTS / "chaos.json").read_text())["rows"]


if __name__ == "__main__":
    cli.main(command)
