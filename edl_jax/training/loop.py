"""Training a classifier with a given loss, and measuring it.

Data stay on the device as they are, images as uint8; a compiled scan over steps gathers, augments
and normalises each batch there. Streamed images come to it in time for each scan. Everything that
a run draws comes from its seed alone, so runs of one seed with different losses share initial
weights, batches and augmentation, and may be compared in pairs.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple, NotRequired, TypedDict

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from numpy.typing import ArrayLike

from edl_jax.errors import EdlError, require
from edl_jax.losses.base import Loss, as_pytree
from edl_jax.statistics import finite_or_none
from edl_jax.training.batches import batch_mesh, replicate, split_batch
from edl_jax.training.classifier import Classifier, ClassifierSpec
from edl_jax.training.config import Optimizer, TrainConfig
from edl_jax.training.data import Dataset
from edl_jax.training.evaluation import Examples, evaluate
from edl_jax.training.feed import epoch_order, feed, on_device
from edl_jax.training.network import GraphDef, Model, PyTree
from edl_jax.training.pixels import (
    input_statistics,
    normalize,
    random_crop_flip,
    resolve_augmentation,
)
from edl_jax.training.step import (
    OPTIMIZERS,
    StepInfo,
    TrainState,
    init_state,
    make_train_step,
)
from edl_jax.training.streamed import Streamed

_STEPS_PER_CALL = 50
_STREAMED_BYTES = 2**25


class EpochRow(TypedDict):
    """An epoch of a run, ready for JSON; ``None`` is not finite.

    Loss and accuracy on the training labels are those seen during the epoch, on the labels as
    given; the other figures are there where the test images were looked at.
    """

    epoch: int
    train_loss: float | None
    train_accuracy: float
    test_accuracy: NotRequired[float]
    nll: NotRequired[float | None]
    ece: NotRequired[float | None]


class Midway(NamedTuple):
    """A run that is not finished, and all it needs to be resumed.

    Attributes:
      state: as the last step left it.
      losses, accuracies: of the steps of the epoch under way, float32 ``[steps]``; what stands for
        the steps to come has no meaning.
    """

    state: TrainState
    losses: np.ndarray
    accuracies: np.ndarray


class TrainResult(NamedTuple):
    """A finished run.

    Attributes:
      history: a row an epoch, from the first that was finished here.
      test_accuracy, nll, ece: on the test images, after the last epoch.
      diverged: the training loss was not finite; the run ended with that epoch.
      state: as the last step left it.
      classifier: the trained network, which takes examples as they are in the data set.
    """

    history: list[EpochRow]
    test_accuracy: float
    nll: float | None
    ece: float | None
    diverged: bool
    state: TrainState
    classifier: Classifier

    def predict(self, inputs: ArrayLike) -> np.ndarray:
        """The most probable class of each example; see :meth:`Classifier.predict`."""
        return self.classifier.predict(inputs)


@partial(
    jax.jit,
    static_argnames=("graphdef", "augment", "num_steps", "mesh", "optimizer"),
    donate_argnames=("state",),
)
def run_steps(
    state: TrainState,
    examples: Examples,
    order: jax.Array,
    loss: Loss,
    *,
    graphdef: GraphDef,
    augment: str,
    num_steps: int,
    mesh: Mesh | None = None,
    optimizer: Optimizer = "sgd",
) -> tuple[TrainState, StepInfo]:
    """Take ``num_steps`` steps in one compiled call.

    Args:
      state: where to start from; its buffers are donated, so it cannot be used again.
      examples: the training set.
      order: int32 ``[steps, batch]``, which examples each step takes; the step of the number
        ``state.step`` has the row of that number modulo ``steps``.
      loss: a callable that is a pytree; :func:`as_pytree` makes one of any function. Its arrays
        are traced.
      graphdef: the network's structure.
      augment: ``"none"``, ``"crop"`` or ``"crop-flip"``.
      num_steps: steps to take.
      mesh: the devices that share each batch, from :func:`edl_jax.training.batches.batch_mesh`.
      optimizer: the one that ``state`` began with.

    Returns:
      The state after them, and each step's info, arrays ``[num_steps]``.
    """
    assert isinstance(examples.images, jax.Array)
    images_here = examples.images
    step = make_train_step(graphdef, loss, OPTIMIZERS[optimizer]())

    def body(state: TrainState, _: None) -> tuple[TrainState, StepInfo]:
        rows = split_batch(order[state.step % order.shape[0]], mesh)
        images = images_here[rows]
        if augment != "none":
            key = jax.random.fold_in(state.key, state.step)
            images = random_crop_flip(key, images, flip=augment == "crop-flip")
        images = normalize(images, examples.mean, examples.std)
        return step(state, images, examples.labels[rows])

    # Not even a loop of one step may stand around convolutions: see steps_per_call.
    if num_steps == 1:
        state, info = body(state, None)
        return state, jax.tree.map(lambda value: value[None], info)
    return jax.lax.scan(body, state, length=num_steps)


def steps_per_call(steps_per_epoch: int, params: PyTree, batch_bytes: int = 0) -> int:
    """How many steps to take in one compiled call: an equal share of the epoch.

    At most 50, so that progress shows, or all of an epoch whose steps have no such divisor above
    10. On a CPU a network with convolutions takes one: XLA only compiles their gradients to fast
    code outside of loops (jax-ml/jax issue 12868), and inside ResNet-8 is 25 times slower. Where
    each batch must be put on the device, of ``batch_bytes``, those of a call are 32 MiB at most.

    >>> steps_per_call(390, {"kernel": jnp.ones((2, 2))})
    39
    """
    convolutions = any(leaf.ndim == 4 for leaf in jax.tree.leaves(params))
    if convolutions and jax.default_backend() == "cpu":
        return 1
    least, most = 10, _STEPS_PER_CALL
    if batch_bytes:
        least, most = 1, min(most, max(1, _STREAMED_BYTES // batch_bytes))
    divisors = [d for d in range(least, most + 1) if steps_per_epoch % d == 0]
    return divisors[-1] if divisors else steps_per_epoch


def train(
    dataset: Dataset,
    loss: Loss,
    config: TrainConfig,
    seed: int,
    on_progress: Callable[[int, EpochRow | None], None] | None = None,
    *,
    restore: Callable[[Midway], Midway | None] = lambda start: None,
    on_midway: Callable[[Midway], None] | None = None,
    devices: Sequence[jax.Device] | None = None,
    model: Model | None = None,
) -> TrainResult:
    """Train a network and measure it on the test examples.

    The second run with the same loss, network, shapes and augmentation compiles nothing, whatever
    its seed, learning rate or number of epochs.

    Args:
      dataset: the images and labels, noise and all; see :func:`edl_jax.training.subsets.for_seed`.
      loss: ``loss(logits, integer labels) -> losses``: a function, or a pytree that is callable.
      config: how to train.
      seed: of initial weights, batch order and augmentation, which do not depend on the loss.
      on_progress: called with the number of images trained on since it was called last, and at
        the end of an epoch with that epoch's row of the history.
      restore: given where the run begins, a place that ``on_midway`` was called with to resume
        from instead, or None.
      on_midway: called after every few steps; what it keeps of its argument it must copy.
      devices: what shares each batch, as many of them as divide it; by default all of this process.
        Their number changes nothing but the rounding.
      model: a network of your own in place of the one that ``config`` names: an NNX module, which
        stays as it is, or a function of ``nnx.Rngs`` that makes one; see
        :data:`edl_jax.training.network.Model`.

    Raises:
      OptionError: the training set is smaller than a batch.
      EdlError: the network does not take such examples, or does not give a logit for each class.
      EdlError: ``restore`` gave a place that this run does not come by.
    """
    num_examples = len(dataset.train_labels)
    steps = num_examples // config.batch_size
    expected = f"at most the number of training images, {num_examples}"
    require(steps > 0, "batch_size", config.batch_size, expected)
    mean, std = map(jnp.asarray, input_statistics(dataset))
    training, testing = (
        on_device(images, labels, mean, std)
        for images, labels in (
            (dataset.train_images, dataset.train_labels),
            (dataset.test_images, dataset.test_labels),
        )
    )
    shape, num_classes = dataset.input_shape, dataset.num_classes
    graphdef, state = init_state(config, shape, num_classes, seed, steps, model)
    mesh = batch_mesh(config.batch_size, devices)
    training, testing = (
        of if isinstance(of.images, Streamed) else replicate(of, mesh) for of in (training, testing)
    )
    streamed = isinstance(dataset.train_images, Streamed)
    batch_bytes = config.batch_size * math.prod(shape) if streamed else 0
    steps_at_once = steps_per_call(steps, state.params, batch_bytes)
    run = partial(
        run_steps,
        loss=as_pytree(loss),
        graphdef=graphdef,
        augment=resolve_augmentation(config.augment, dataset),
        num_steps=steps_at_once,
        mesh=mesh,
        optimizer=config.optimizer,
    )
    spec = ClassifierSpec.of(dataset, config, model)
    history: list[EpochRow] = []
    diverged = False
    start = Midway(state, *np.zeros((2, steps), np.float32))
    state, *infos = restore(start) or start
    state = replicate(state, mesh)
    losses, accuracies = map(np.array, infos)
    done = int(state.step)
    if not 0 <= done <= config.epochs * steps or done % steps_at_once:
        raise EdlError(f"checkpoint of step {done}: expected one between two calls of this run")
    # A place at the end of an epoch is one before that epoch's row.
    for epoch in range(max(1, -(-done // steps)), config.epochs + 1):
        order = epoch_order(state.key, epoch, num_examples, config.batch_size)
        first = max(0, done - (epoch - 1) * steps)
        calls = range(first, steps, steps_at_once)
        taken = feed(training, order, first, steps_at_once, mesh)
        for step, (own, rows) in zip(calls, taken, strict=False):
            state, info = run(state, own, rows)
            now = slice(step, step + steps_at_once)
            losses[now], accuracies[now] = jax.device_get(info)
            if on_progress is not None:
                on_progress(steps_at_once * config.batch_size, None)
            if on_midway is not None:
                on_midway(Midway(state, losses, accuracies))
        train_loss, train_accuracy = float(np.mean(losses)), float(np.mean(accuracies))
        diverged = not math.isfinite(train_loss)
        row: EpochRow = {
            "epoch": epoch,
            "train_loss": finite_or_none(train_loss),
            "train_accuracy": train_accuracy,
        }
        last = diverged or epoch == config.epochs
        if last or (config.eval_every and epoch % config.eval_every == 0):
            measured = evaluate(graphdef, state.params, state.model_state, testing, mesh)
            row["test_accuracy"] = float(measured.accuracy)
            row["nll"] = finite_or_none(measured.nll)
            row["ece"] = finite_or_none(measured.ece)
        history.append(row)
        if on_progress is not None:
            on_progress(0, row)
        if diverged:
            break
    return TrainResult(
        history,
        row["test_accuracy"],
        row["nll"],
        row["ece"],
        diverged,
        state,
        Classifier(graphdef, state.params, state.model_state, mean, std, spec),
    )
