"""Tables of the invariant laws that have no closed form, for ``edl_jax.chaos.laws``.

    python -m benchmarks.chaos.invariant_laws

writes ``edl_jax/chaos/laws.npz``: for each map its distribution function at 4,097 points, evenly
spaced in the arcsine law's distribution function, and its mean, variance and largest Lyapunov
exponent. They are means over the orbits of the maps in float64, written here a second time, in
their own coordinates, with derivatives by hand. A minute on one core; another machine's sine may
differ in the last place, which changes the figures within their sampling error.
"""

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from edl_jax.chaos import jittered as maps
from edl_jax.files import atomic_write

CELLS, SEED, BURN_IN = 4096, 0, 1000
PATH = Path(maps.__file__).with_name("laws.npz")
Array = np.ndarray


class Map(NamedTuple):
    """``step`` takes and gives the state's coordinates, the first of which is observed;
    ``slope`` is the derivative of that one by itself, ``coupling`` that by the value before it."""

    low: float
    high: float
    step: Callable[..., tuple[Array, ...]]
    slope: Callable[[Array], Array]
    start: tuple[tuple[float, float], ...]
    coupling: float = 0.0


def _gauss_bell(x: Array) -> Array:
    return np.exp(-maps.GAUSS_A * x**2)


_GAUSS_HIGH = 1 + maps.GAUSS_B
_GAUSS_LOW = float(_gauss_bell(np.array(_GAUSS_HIGH)) + maps.GAUSS_B)
_TURN = 2 * np.pi

MAPS = {
    "sine": Map(
        0.0,
        1.0,
        lambda x: (np.sin(np.pi * x),),
        lambda x: np.pi * np.cos(np.pi * x),
        ((0.0, 1.0),),
    ),
    "gauss": Map(
        _GAUSS_LOW,
        _GAUSS_HIGH,
        lambda x: (_gauss_bell(x) + maps.GAUSS_B,),
        lambda x: -2 * maps.GAUSS_A * x * _gauss_bell(x),
        ((_GAUSS_LOW, _GAUSS_HIGH),),
    ),
    "circle": Map(
        -0.5,
        0.5,
        # The angle in (-1/2, 1/2]; the law's pole at 1/2 is then at the ends of the table.
        lambda t: (0.5 - np.mod(0.5 - t + maps.CIRCLE_K / _TURN * np.sin(_TURN * t), 1.0),),
        lambda t: 1 - maps.CIRCLE_K * np.cos(_TURN * t),
        ((-0.5, 0.5),),
    ),
    "henon": Map(
        maps.HENON_LOW,
        maps.HENON_HIGH,
        lambda x, y: (1 - maps.HENON_A * x**2 + y, maps.HENON_B * x),
        lambda x: -2 * maps.HENON_A * x,
        ((-0.1, 0.1), (-0.03, 0.03)),
        maps.HENON_B,
    ),
}


def measure(name: str, orbits: int = 20_000, steps: int = 20_000) -> tuple[Array, Array]:
    """``(cdf, mean_variance_lyapunov)`` of a map over so many orbits and steps, float64."""
    m, rng = MAPS[name], np.random.default_rng(SEED)
    state = tuple(rng.uniform(low, high, orbits) for low, high in m.start)
    counts = np.zeros(CELLS, np.int64)
    sums, growth = np.zeros(3), np.ones(orbits)
    for step in range(BURN_IN + steps):
        x = (state[0] - m.low) * (1 / (m.high - m.low))
        # By how much an infinitesimal deviation grows: d' = slope d + coupling d_before.
        growth = m.slope(state[0]) + m.coupling / growth
        growth[growth == 0] = np.finfo(float).tiny
        if step >= BURN_IN:
            x = np.clip(x, 0.0, 1.0)
            cell = (np.arcsin(np.sqrt(x)) * (2 / np.pi * CELLS)).astype(int)
            counts += np.bincount(np.minimum(cell, CELLS - 1), minlength=CELLS)
            # Around 1/2, so that the variance loses no digits.
            sums += (x - 0.5).mean(), ((x - 0.5) ** 2).mean(), np.log(np.abs(growth)).mean()
        state = m.step(*state)
    first, second, lyapunov = sums / steps
    cdf = np.concatenate([[0], np.cumsum(counts)]) / counts.sum()
    return cdf, np.array([first + 0.5, second - first**2, lyapunov])


def main() -> None:
    """Measure every law and write the table."""
    with atomic_write(PATH) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in MAPS:
            cdf, figures = measure(name)
            print(f"{name:7} mean {figures[0]:.5f} variance {figures[1]:.5f} λ {figures[2]:.5f}")
            members = {"cdf": cdf.astype(np.float32), "mean_variance_lyapunov": figures}
            for member, array in members.items():
                # A fixed time stamp: the same law gives the same bytes.
                entry = zipfile.ZipInfo(f"{name}.{member}.npy", (1980, 1, 1, 0, 0, 0))
                with archive.open(entry, "w") as target:
                    np.lib.format.write_array(target, array, allow_pickle=False)


if __name__ == "__main__":
    main()
