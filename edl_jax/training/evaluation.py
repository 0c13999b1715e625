"""Measuring a classifier: accuracy, likelihood, calibration."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh

from edl_jax.training.batches import replicate, split_batch
from edl_jax.training.network import GraphDef, PyTree, forward
from edl_jax.training.pixels import normalize
from edl_jax.training.streamed import Streamed

_BATCH = 512


class Examples(NamedTuple):
    """Labelled examples on the device, or streamed images with their labels.

    Attributes:
      images: those of a :class:`edl_jax.training.data.Dataset`, images or features ``[N, ...]``.
      labels: int32 ``[N]``.
      mean, std: float32, of the training examples; see
        :func:`edl_jax.training.pixels.input_statistics`.
    """

    images: jax.Array | Streamed
    labels: jax.Array
    mean: jax.Array
    std: jax.Array


class Evaluation(NamedTuple):
    """Accuracy, negative log-likelihood (nats an image) and expected calibration error."""

    accuracy: jax.Array
    nll: jax.Array
    ece: jax.Array


def expected_calibration_error(
    probs: jax.Array, labels: jax.Array, num_bins: int = 15
) -> jax.Array:
    """Mean distance between confidence and accuracy over bins of equal confidence.

    Guo et al., "On Calibration of Modern Neural Networks" (arXiv 1706.04599), equation 3: bins of
    equal width on the largest probability, weighted by how many examples they hold.

    Args:
      probs: float ``[N, K]``, rows that sum to one.
      labels: int ``[N]``.
      num_bins: number of bins M; bin m is ((m - 1) / M, m / M].

    Returns:
      float32 scalar from 0 to 1.

    >>> probs = jnp.array([[0.8, 0.2], [0.8, 0.2]])
    >>> float(expected_calibration_error(probs, jnp.array([0, 1]))).__round__(3)
    0.3
    """
    gaps = _calibration_gaps(probs, labels, jnp.ones(labels.shape, probs.dtype), num_bins)
    return jnp.sum(jnp.abs(gaps)) / labels.shape[0]


def _calibration_gaps(
    probs: jax.Array, labels: jax.Array, weights: jax.Array, num_bins: int = 15
) -> jax.Array:
    """Sum of confidence minus correctness in each bin."""
    confidence = jnp.max(probs, axis=-1)
    correct = (jnp.argmax(probs, axis=-1).astype(labels.dtype) == labels).astype(confidence.dtype)
    # The confidence of a diverged network is NaN, which has no bin but must reach the sum.
    bins = jnp.ceil(jnp.nan_to_num(confidence) * num_bins).astype(jnp.int32) - 1
    bins = jnp.clip(bins, 0, num_bins - 1)
    return jax.ops.segment_sum(weights * (confidence - correct), bins, num_bins)


def evaluate(
    graphdef: GraphDef,
    params: PyTree,
    model_state: PyTree,
    examples: Examples,
    mesh: Mesh | None = None,
) -> Evaluation:
    """Measure a network on labelled images.

    Args:
      graphdef: the network's structure.
      params: its trained arrays, as in :class:`edl_jax.training.step.TrainState`.
      model_state: its other arrays.
      examples: what to measure on; ``mean`` and ``std`` are those of the training images. Streamed
        images are read part by part.
      mesh: the devices that share each batch, from :func:`edl_jax.training.batches.batch_mesh`.

    Returns:
      Float32 scalars; the calibration error has 15 bins, see :func:`expected_calibration_error`.
    """
    images, labels = examples.images, examples.labels
    total = len(labels)
    if not isinstance(images, Streamed):
        sums = _sums(graphdef, params, model_state, examples, mesh)
        return _finished(sums, total)
    found = []
    whole = total - total % _BATCH
    cuts = [(0, whole, _BATCH), (whole, total, total - whole)]
    for start, stop, size in cuts:
        order = np.arange(start, stop).reshape(-1, max(size, 1))
        for rows, part in zip(order, images.batches(order), strict=True):
            here = replicate(examples._replace(images=jnp.asarray(part), labels=labels[rows]), mesh)
            found.append(_sums(graphdef, params, model_state, here, mesh))
    return _finished(jax.tree.map(lambda *parts: sum(parts), *found), total)


def _finished(sums: tuple[jax.Array, jax.Array, jax.Array], total: int) -> Evaluation:
    correct, nll, gaps = sums
    return Evaluation(correct / total, nll / total, jnp.sum(jnp.abs(gaps)) / total)


@partial(jax.jit, static_argnames=("graphdef", "mesh"))
def _sums(
    graphdef: GraphDef,
    params: PyTree,
    model_state: PyTree,
    examples: Examples,
    mesh: Mesh | None = None,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The number that are right, the sum of the likelihoods, the sums of each bin of confidence."""
    images, total = examples.images, examples.labels.shape[0]
    assert isinstance(images, jax.Array)
    devices = 1 if mesh is None else mesh.size
    batch = -(-min(total, _BATCH) // devices) * devices
    # The last batch is filled up with image 0, at weight 0.
    rows = jnp.arange(-(-total // batch) * batch).reshape(-1, batch)

    def measure(rows: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        rows = split_batch(rows, mesh)
        weights = (rows < total).astype(jnp.float32)
        rows = jnp.where(rows < total, rows, 0)
        labels = examples.labels[rows]
        inputs = normalize(images[rows], examples.mean, examples.std)
        logits, _ = forward(graphdef, params, model_state, inputs, train=False)
        nll = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
        correct = jnp.argmax(logits, axis=-1).astype(labels.dtype) == labels
        gaps = _calibration_gaps(jax.nn.softmax(logits), labels, weights)
        return jnp.sum(weights, where=correct), jnp.sum(jnp.where(weights > 0, nll, 0.0)), gaps

    return jax.tree.map(partial(jnp.sum, axis=0), jax.lax.map(measure, rows))
