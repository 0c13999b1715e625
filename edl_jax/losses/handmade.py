"""The hand-made classification losses that evolved losses are compared with.

``LOSSES`` maps each name to a :class:`Handmade` loss, ``loss(logits, labels, axis=-1, where=None)``
in optax's convention, and :func:`variant` makes one with other constants, also by its name. What a
loss is stands once, in a *definition*
``definition(log_p_y, classes, **constants)``: the loss at every label whose log-probability is
given, with whatever the loss needs to know of the other classes. Integer labels gather one
``log_p_y`` an example; soft labels q ask for all K and take the expectation
``E_{k~q} definition(log p_k)``.

That expectation is what a soft label means for *every* loss here, also where the literature
extends its loss in another way that agrees for one-hot labels only: ``brier`` and ``bi_tempered``
then differ from the published ones by a function of q alone (``1 - sum q**2`` for the first), but
``one_minus_p`` is not ``sum |p - q| / 2``, nor is the second term of ``symmetric_ce`` and
``nce_rce`` ``-sum p log q``.

``cross_entropy``, ``label_smoothing`` and ``poly1`` equal optax's ``softmax_cross_entropy``, the
same on ``smooth_labels``, and ``poly_loss_cross_entropy``. They are not calls of those because the
last two need one-hot labels, and a -inf logit makes all three infinite or NaN.
"""

import dataclasses
import inspect
import math

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from edl_jax.errors import EdlError, did_you_mean
from edl_jax.losses.arguments import called_with, read_examples
from edl_jax.losses.base import Axis, Context
from edl_jax.losses.context import examples_context
from edl_jax.losses.definitions import (
    Classes,
    Definition,
    baikal,
    brier,
    cross_entropy,
    focal,
    label_smoothing,
    one_minus_p,
    poly1,
)
from edl_jax.losses.noise_robust import (
    anl_ce,
    eps_softmax_mae,
    gate,
    gce,
    gce_logit_bias,
    jal_ce,
    nce_agce,
    nce_rce,
    symmetric_ce,
)
from edl_jax.losses.tempered import bi_tempered


@dataclasses.dataclass(frozen=True)
class Handmade:
    """A loss from the literature, a drop-in for optax's cross-entropy; hashable.

    One with other constants is what :func:`variant` makes.

    Attributes:
      name: its name in ``LOSSES``, or that with its constants.
      definition: the loss as a function of log-probabilities; its docstring gives the formula and
        the paper.
      reads_context: whether it depends on how far training has come.

    >>> logits = jnp.array([[2.0, 0.0, -1.0], [0.5, 0.5, 0.5]])
    >>> print(jnp.array_str(LOSSES["one_minus_p"](logits, jnp.array([0, 2])), precision=3))
    [0.156 0.667]
    >>> quadratic = variant("gce:q=2")
    >>> soft_labels = jnp.array([[1.0, 0.0, 0.0], [0.0, 0.5, 0.5]])
    >>> print(jnp.array_str(quadratic(logits, soft_labels), precision=3))
    [0.144 0.444]
    """

    name: str
    definition: Definition
    reads_context: bool = False

    def __call__(
        self,
        logits: ArrayLike,
        labels: ArrayLike,
        axis: Axis = -1,
        where: ArrayLike | None = None,
        *,
        context: Context | None = None,
    ) -> jax.Array:
        """The loss of every example, in nats where the loss has a unit; not reduced.

        Args:
          logits: unnormalised log-probabilities of a floating dtype; the classes lie on ``axis``. A
            logit of -inf is an absent class.
          labels: class ids of any integer dtype and of the result's shape, or one-hot or soft
            labels of ``logits.shape``.
          axis: the axis of the classes, a tuple of axes, or None for all. On several axes a class
            id is a flat index into them, in the order of the tuple.
          where: boolean; False is an absent class. Of ``logits.shape``, or of the result's shape
            for whole examples, as optax has it; an axis of size 1 is broadcast.
          context: how far training has come, for a loss that reads it; by default
            :func:`batch_context` of these arguments. Others ignore it.

        Returns:
          An array of ``logits.shape`` without ``axis``; float32, or float64 for float64 logits
          (float16 and bfloat16 are promoted first). Absent classes contribute nothing to the value
          or the gradient; the loss at a label that is itself absent is 0, and so is that of an
          example without any class, whatever its label. Finite, with a finite gradient, for logits
          up to 1e4 in size. NaN where a label is out of range, with a gradient of 0, so that
          ``jnp.where(labels == 255, 0, losses)`` ignores such examples; and where a logit of a
          present class is NaN or +inf.

        Raises:
          EdlError: the dtypes or shapes do not fit, or there is no such ``axis``.
        """
        examples = read_examples(called_with(logits, labels, axis, where))
        centred, log_total, taking_part = _centre(examples.logits, examples.present)
        if self.reads_context and context is None:
            context = examples_context(examples)
        classes = Classes(centred - log_total, taking_part, context)
        if examples.ids is None:
            return examples.reduce(self.definition(classes.log_p, classes))
        log_p_y = jnp.take_along_axis(centred, examples.ids[..., None], axis=-1) - log_total
        return examples.reduce(self.definition(log_p_y, classes)[..., 0])


def _centre(logits: jax.Array, present: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Logits less the largest, log of the sum of their exponentials, and the classes summed over.

    The two are apart, and not yet a log-softmax, so that a loss that needs log p_y alone computes
    nothing else for each class.
    """
    lowest = jnp.finfo(logits.dtype).min
    # A shift of all logits changes no loss, so no gradient belongs to it.
    largest = jax.lax.stop_gradient(
        jnp.max(logits, axis=-1, keepdims=True, where=present, initial=lowest)
    )
    # An absent class stands at the largest logit, where every definition is finite and has a finite
    # gradient to be masked; a row without any class is a uniform one until its loss is masked.
    centred = jnp.where(present, logits, largest) - largest
    taking_part = present | ~present.any(axis=-1, keepdims=True)
    log_total = jnp.log(jnp.sum(jnp.exp(centred), axis=-1, keepdims=True, where=taking_part))
    return centred, log_total, taking_part


@dataclasses.dataclass(frozen=True)
class _WithConstants:
    """A definition with some of its constants given; equal to another with the same ones."""

    definition: Definition
    constants: tuple[tuple[str, float], ...]

    def __call__(self, log_p_y: jax.Array, classes: Classes) -> jax.Array:
        return self.definition(log_p_y, classes, **dict(self.constants))


LOSSES: dict[str, Handmade] = {
    definition.__name__: Handmade(definition.__name__, definition, definition is gate)
    for definition in (
        cross_entropy,
        label_smoothing,
        focal,
        poly1,
        brier,
        one_minus_p,
        gce,
        gce_logit_bias,
        symmetric_ce,
        nce_rce,
        nce_agce,
        anl_ce,
        jal_ce,
        eps_softmax_mae,
        bi_tempered,
        baikal,
        gate,
    )
}
"""Name to loss, in optax's convention."""


def variant(text: str) -> Handmade:
    """A hand-made loss with constants of one's own, from ``NAME:constant=value[,constant=value]``.

    The constants are the named arguments of the loss's definition. Variants of one text are equal.

    Raises:
      EdlError: there is no such loss or constant, or a value is not a finite number or one for
        which the loss is none.

    >>> variant("nce_rce:alpha=10,beta=0.1").name
    'nce_rce:alpha=10,beta=0.1'
    >>> variant("gce:p=0.3")
    Traceback (most recent call last):
    edl_jax.errors.EdlError: loss gce:p=0.3: gce has no constant p, expected one of q
    """
    name, _, given = text.partition(":")
    if name not in LOSSES:
        names = ", ".join(LOSSES)
        raise EdlError(f"loss {text}: expected one of {names}{did_you_mean(name, LOSSES)}")
    definition = LOSSES[name].definition
    known = [*inspect.signature(definition).parameters][2:]
    one_of = f"one of {', '.join(known)}"
    if not known:
        raise EdlError(f"loss {text}: {name} has no constants")
    constants: dict[str, float] = {}
    for item in given.split(","):
        constant, equals, value = (part.strip() for part in item.partition("="))
        if not equals:
            form = f"{name}:CONSTANT=VALUE[,CONSTANT=VALUE]"
            raise EdlError(f"loss {text}: expected {form}, a constant being {one_of}")
        if constant not in known:
            expected = one_of + did_you_mean(constant, known)
            raise EdlError(f"loss {text}: {name} has no constant {constant}, expected {expected}")
        if constant in constants:
            raise EdlError(f"loss {text}: expected {constant} once")
        constants[constant] = _finite(text, constant, value)
    made = LOSSES[name]
    definition = _WithConstants(definition, tuple(sorted(constants.items())))
    made = dataclasses.replace(made, name=text, definition=definition)
    _require_defined(made)
    return made


def _finite(text: str, constant: str, value: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise EdlError(f"loss {text}: expected a finite number for {constant}, not {value!r}")
    return number


def _require_defined(loss: Handmade) -> None:
    """Raise EdlError where the constants divide by 0, or take a logarithm or root of less."""
    try:
        with jax.ensure_compile_time_eval():  # also where a traced function asks for the loss
            value = float(loss(jnp.zeros(2), jnp.array(0)))
    except (ArithmeticError, ValueError, TypeError):
        value = math.nan
    if not math.isfinite(value):
        raise EdlError(f"loss {loss.name}: with these constants it has no finite value at p = 1/2")
