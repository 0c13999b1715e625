"""Noise on labels: at random, by class, by example; nothing here knows of seeds or data sets."""

from pathlib import Path
from typing import TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from edl_jax.errors import EdlError, cannot, one_line, require_number, require_one_of
from edl_jax.training.config import NOISE_KINDS

Noise: TypeAlias = str | ArrayLike
"""A kind of noise: ``"symmetric"``, ``"asymmetric"``, ``"instance"``, or a matrix that says what
replaces each class."""

_SPREAD, _CUT = 0.1, 2.0
_AT_ONCE = 1024


def symmetric_noise(
    key: jax.Array, labels: jax.Array, rate: jax.Array | float, num_classes: int
) -> jax.Array:
    """Replace labels by uniformly random classes.

    The class drawn may be the one that was there, so a share ``rate * (K - 1) / K`` of the labels
    comes out wrong. With one key, the labels replaced at a lower rate are among those replaced at
    a higher one.

    Args:
      key: PRNG key.
      labels: integers ``[N]`` from 0 to ``num_classes - 1``.
      rate: probability, from 0 to 1, that a label is replaced.
      num_classes: number of classes K.

    Returns:
      int32 ``[N]``.

    >>> symmetric_noise(jax.random.key(0), jnp.arange(3), 0.0, num_classes=3).tolist()
    [0, 1, 2]
    """
    labels = jnp.asarray(labels, jnp.int32)
    replace_key, class_key = jax.random.split(key)
    replaced = jax.random.uniform(replace_key, labels.shape) < rate
    drawn = jax.random.randint(class_key, labels.shape, 0, num_classes)
    return jnp.where(replaced, drawn, labels)


def asymmetric_noise(
    key: jax.Array, labels: jax.Array, rate: jax.Array | float, num_classes: int
) -> jax.Array:
    """Replace labels k by their fixed neighbour (k + 1) mod K.

    Args:
      key: PRNG key.
      labels: integers ``[N]`` from 0 to ``num_classes - 1``.
      rate: probability, from 0 to 1, that a label is replaced; all that are replaced are wrong.
      num_classes: number of classes K.

    Returns:
      int32 ``[N]``.

    >>> asymmetric_noise(jax.random.key(0), jnp.arange(3), 1.0, num_classes=3).tolist()
    [1, 2, 0]
    """
    labels = jnp.asarray(labels, jnp.int32)
    replaced = jax.random.uniform(key, labels.shape) < rate
    return jnp.where(replaced, (labels + 1) % num_classes, labels)


def matrix_noise(
    key: jax.Array, labels: jax.Array, rate: jax.Array | float, matrix: ArrayLike
) -> jax.Array:
    """Replace labels by a class that depends on the label.

    Symmetric noise has the matrix of ones over K; a whole transition matrix, with what stays as it
    is on its diagonal, goes with the rate 1.

    Args:
      key: PRNG key.
      labels: integers ``[N]`` from 0 to K - 1.
      rate: probability, from 0 to 1, that a label is replaced.
      matrix: ``[K, K]``; row k holds the probabilities of what replaces a label k.

    Returns:
      int32 ``[N]``.

    Raises:
      EdlError: the rows are not probabilities.

    >>> matrix_noise(jax.random.key(0), jnp.arange(2), 1.0, [[0, 1], [1, 0]]).tolist()
    [1, 0]
    """
    labels = jnp.asarray(labels, jnp.int32)
    rows = jnp.log(jnp.asarray(check_matrix(matrix), jnp.float32))[labels]
    replace_key, class_key = jax.random.split(key)
    replaced = jax.random.uniform(replace_key, labels.shape) < rate
    drawn = jax.random.categorical(class_key, rows).astype(jnp.int32)
    return jnp.where(replaced, drawn, labels)


def instance_noise(
    key: jax.Array, labels: ArrayLike, rate: float, num_classes: int, inputs: ArrayLike
) -> jax.Array:
    """Replace labels by the class that the example looks like to a poor labeller.

    Xia et al., "Part-dependent Label Noise" (arXiv 2006.07836), algorithm 2. The labeller is a
    random linear map for each class, the same whatever the key; it errs more on some examples than
    on others. Each example is scaled to mean 0 and variance 1, so what it does to an example
    depends on no other.

    Args:
      key: PRNG key.
      labels: integers ``[N]`` from 0 to ``num_classes - 1``.
      rate: mean probability, from 0 to 1, that a label is replaced; all that are replaced are
        wrong. That of an example lies up to 0.2 to either side.
      num_classes: number of classes K.
      inputs: the examples, numbers ``[N, ...]``.

    Returns:
      int32 ``[N]``.

    >>> inputs = np.random.default_rng(0).normal(size=(3, 8))
    >>> instance_noise(jax.random.key(0), np.arange(3), 0.0, 3, inputs).tolist()
    [0, 1, 2]
    """
    labels = np.asarray(labels, np.int32)
    rate_key, class_key = jax.random.split(key)
    spread = min(_SPREAD, rate / _CUT, (1 - rate) / _CUT)
    drawn = jax.random.truncated_normal(rate_key, -_CUT, _CUT, labels.shape)
    rates = rate + spread * drawn
    replaced = jax.random.uniform(jax.random.fold_in(rate_key, 1), labels.shape) < rates
    logits = _poor_labeller(inputs, labels, num_classes)
    others = jax.random.categorical(class_key, jnp.asarray(logits)).astype(jnp.int32)
    return jnp.where(replaced, others, jnp.asarray(labels))


def _poor_labeller(inputs: ArrayLike, labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Logits ``[N, K]`` of the class that each example is taken for; never its own."""
    shape = np.shape(inputs)
    logits = np.empty((len(labels), num_classes), np.float32)
    examples: np.ndarray = inputs  # type: ignore[assignment]  # any array, which is read in parts
    for label in range(num_classes):
        own = np.flatnonzero(labels == label)
        if not len(own):
            continue
        class_key = jax.random.fold_in(jax.random.key(0), label)
        weights = np.asarray(jax.random.normal(class_key, (int(np.prod(shape[1:])), num_classes)))
        for start in range(0, len(own), _AT_ONCE):
            rows = own[start : start + _AT_ONCE]
            flat = np.asarray(examples[rows], np.float32).reshape(len(rows), -1)
            flat -= flat.mean(axis=1, keepdims=True)
            flat /= np.maximum(flat.std(axis=1, keepdims=True), 1e-6)
            logits[rows] = flat @ weights
    logits[np.arange(len(labels)), labels] = -np.inf
    return logits


def noisy_labels(
    key: jax.Array,
    inputs: ArrayLike,
    labels: ArrayLike,
    rate: float,
    kind: Noise,
    num_classes: int,
) -> np.ndarray:
    """Labels with noise of any kind.

    Args:
      key: PRNG key.
      inputs: the examples ``[N, ...]``, which only ``"instance"`` looks at.
      labels: integers ``[N]`` from 0 to ``num_classes - 1``.
      rate: probability, from 0 to 1, that a label is replaced.
      kind: ``"symmetric"``, ``"asymmetric"``, ``"instance"``, or a matrix.
      num_classes: number of classes K.

    Returns:
      int32 ``[N]``.

    Raises:
      OptionError: there is no such kind, or the rate is out of its range.
      EdlError: the matrix is not one for so many classes.
    """
    require_number("label_noise", rate, 0.0, 1.0)
    require_kind(kind, num_classes)
    labels = jnp.asarray(labels, jnp.int32)
    if not isinstance(kind, str):
        noisy = matrix_noise(key, labels, rate, kind)
    elif kind == "instance":
        noisy = instance_noise(key, labels, rate, num_classes, inputs)
    else:
        replace = symmetric_noise if kind == "symmetric" else asymmetric_noise
        noisy = replace(key, labels, rate, num_classes)
    return np.asarray(noisy)


def require_kind(kind: Noise, num_classes: int) -> None:
    """Raise what :func:`noisy_labels` would, for its ``kind``."""
    if isinstance(kind, str):
        require_one_of("noise_kind", kind, NOISE_KINDS)
        return
    found = len(check_matrix(kind))
    if found != num_classes:
        raise EdlError(f"noise matrix: for {found} classes: expected {num_classes}")


def name_of_noise(kind: Noise) -> str:
    """What a row of results says of a kind of noise."""
    return kind if isinstance(kind, str) else "matrix"


# --- matrices ----------------------------------------------------------------------------------


def check_matrix(matrix: ArrayLike, place: str = "noise matrix") -> np.ndarray:
    """A matrix of :func:`matrix_noise` as float64 ``[K, K]``.

    Raises:
      EdlError: it is not square, or a row is not the probabilities of the classes.

    >>> check_matrix([[0.5, 0.5], [0.1, 0.8]])
    Traceback (most recent call last):
    edl_jax.errors.EdlError: noise matrix: row 1 sums to 0.9: expected probabilities, which sum to 1
    """
    try:
        found = np.asarray(matrix, np.float64)
    except (TypeError, ValueError):
        raise EdlError(f"{place}: expected numbers [classes, classes]") from None
    if found.ndim != 2 or found.shape[0] != found.shape[1] or len(found) < 2:
        raise EdlError(f"{place}: of shape {list(found.shape)}: expected [classes, classes]")
    if not np.all(found >= 0):  # not a number is no probability either
        raise EdlError(f"{place}: holds {found.min():g}: expected probabilities, from 0 on")
    sums = found.sum(axis=1)
    odd = np.flatnonzero(np.abs(sums - 1) > 1e-4)
    if len(odd):
        raise EdlError(
            f"{place}: row {odd[0]} sums to {sums[odd[0]]:.6g}: expected probabilities, which sum "
            "to 1"
        )
    return found


def read_matrix(path: Path) -> np.ndarray:
    """Read a matrix of :func:`matrix_noise`: float64 ``[K, K]``.

    Args:
      path: a ``.csv`` file, a line a row, or an ``.npy`` file.

    Raises:
      EdlError: it cannot be read, or holds no such matrix.
    """
    try:
        if path.suffix == ".npy":
            matrix = np.load(path, allow_pickle=False)
        else:
            lines = [line for line in path.read_text().splitlines() if line.strip()]
            matrix = np.array([[float(x) for x in line.split(",")] for line in lines])
    except OSError as error:
        raise cannot("read", path, error) from None
    except (ValueError, EOFError) as error:
        raise EdlError(f"{path}: expected a matrix of numbers ({one_line(error)})") from None
    return check_matrix(matrix, str(path))
