"""A learned loss of edl_jax as a PyTorch module. Needs torch and numpy, not JAX.

``python -m edl_jax.export LOSS --format torch`` puts a copy of this file beside the weights,
``NAME.py`` beside ``NAME.npz``. The two can be moved and renamed together:

    from NAME import LearnedLoss

    criterion = LearnedLoss()  # made and called like torch.nn.CrossEntropyLoss
    criterion(logits, labels).backward()

A loss of network ``monotone`` reads how far training has come, from the examples of the call, or
from a context that it is given: ``criterion(logits, labels, criterion.batch_context(...))``.
"""

import json
import math
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

LOG_SCALE = 8.0  # log-probabilities enter the networks divided by this
MIN_LOG_PROB = -1e6  # the log-probability of a class that is absent (logit -inf)
LOG_RESOLUTION = math.log(2.0**-24)  # the smallest log-probability that a network reads
# Of the network monotone: its gate's sharpness, where its steps lie at the most, their least width,
# and the weight of smoothing for a parameter of 1.
GATE_SHARPNESS, MOST_LOG_ODDS, LEAST_WIDTH, SMOOTHING_SHARE, RIVAL_SIZE = 150.0, 8.0, 0.5, 0.2, 4.0


class Context(NamedTuple):
    """How far a classifier has come: scalars, 0 at chance."""

    confidence: Tensor  # mean of the largest probability, relative to chance
    agreement: Tensor  # mean of the target's probability, relative to chance
    spread: Tensor  # twice the standard deviation of the target's probability


class _Examples(NamedTuple):
    """The arguments of a loss, checked, the classes on the last axis."""

    logits: Tensor  # float32 or float64
    present: Tensor  # which classes take part
    target: Tensor  # int64 ids, or class probabilities, 0 at absent classes
    soft: bool


class LearnedLoss(nn.Module):
    """A frozen evolved loss with the calling convention of ``torch.nn.CrossEntropyLoss``.

    Computes in float32, or in float64 for float64 logits, under autocast too. Its weights are
    buffers that follow ``.to(device)``; they are neither trained nor part of the state dict.

    Args:
      weight: a factor for each class, shape (C); None is 1 for all.
      ignore_index: a target that stands for no class: its loss is 0 and no part of the mean.
      reduction: ``"mean"``, ``"sum"`` or ``"none"``. As in torch, the mean over class ids divides
        by the sum of their weights, and that over class probabilities by the number of examples.
      file: the .npz file that a learned loss is kept in; by default the one beside this file
        that has its name.

    Raises:
      ValueError: there is no such reduction.
    """

    def __init__(
        self,
        weight: Tensor | None = None,
        *,
        ignore_index: int = -100,
        reduction: str = "mean",
        file: str | Path | None = None,
    ) -> None:
        super().__init__()
        if reduction not in ("mean", "sum", "none"):
            raise ValueError(f"reduction {reduction!r}: expected 'mean', 'sum' or 'none'")
        self.ignore_index, self.reduction = ignore_index, reduction
        self.register_buffer("weight", weight, persistent=False)
        with np.load(file or Path(__file__).with_suffix(".npz"), allow_pickle=False) as kept:
            spec = json.loads(kept["spec.json"])
            params = {n.removeprefix("params/"): kept[n] for n in kept.files if n != "spec.json"}
        self.network, self.num_classes = spec["network"]["name"], spec["network"]["num_classes"]
        self.register_buffer("scale", torch.tensor(spec["scale"]), persistent=False)
        for name, array in params.items():
            tensor = torch.from_numpy(array.astype("float32"))
            self.register_buffer(name.replace("/", "_"), tensor, persistent=False)

    def forward(self, logits: Tensor, target: Tensor, context: Context | None = None) -> Tensor:
        """The loss of ``logits`` under ``target``.

        Args:
          logits: unnormalised log-probabilities, shape (C), (N, C) or (N, C, d1, ...). A class
            with logit -inf is absent.
          target: class ids, shape (), (N) or (N, d1, ...), or class probabilities of the shape of
            ``logits``: one-hot or soft labels.
          context: how far training has come, for a loss that reads it; None is what
            :meth:`batch_context` has for these arguments. Other losses ignore it.

        Returns:
          A scalar, or without reduction the shape of class ids. The loss is NaN, with a gradient
          of 0, where an id is neither a class nor ``ignore_index``, and 0 where no class is there.

        Raises:
          ValueError: ``logits``, ``target`` and ``weight`` do not fit each other.
        """
        with torch.autocast(logits.device.type, enabled=False):
            losses, total = self._unreduced(logits, target, context)
        if self.reduction == "none":
            return losses
        return losses.sum() / total.sum() if self.reduction == "mean" else losses.sum()

    def batch_context(self, logits: Tensor, target: Tensor) -> Context:
        """The context of a batch, without gradient.

        Compute it yourself where one call does not see the whole batch: with accumulated gradients,
        or averaged over processes. An example is not counted that has fewer than two classes, a
        logit that is not finite, ``ignore_index``, or a target that is no class or an absent one.
        """
        with torch.autocast(logits.device.type, enabled=False), torch.no_grad():
            return self._context(_examples(logits, target))

    def _context(self, examples: _Examples) -> Context:
        logits, present = examples.logits.detach(), examples.present
        number = present.sum(-1).to(logits.dtype)
        weights = examples.target.detach()
        if not examples.soft:
            ids, classes = weights.unsqueeze(-1), torch.arange(logits.shape[-1]).to(logits.device)
            weights = ((ids == classes) & (ids != self.ignore_index) & present).to(logits.dtype)
        total = weights.sum(-1)
        counted = (number > 1) & (total > 0) & (logits.isfinite() | ~present).all(-1)
        p = logits.masked_fill(~counted.unsqueeze(-1), 0.0).softmax(-1)
        chance = 1 / number.clamp(min=2)
        p_y = (weights * p).sum(-1) / torch.where(counted, total, 1.0)

        def mean(values: Tensor) -> Tensor:
            return values.masked_fill(~counted, 0.0).sum() / counted.sum().clamp(min=1)

        def relative(probability: Tensor) -> Tensor:
            return mean((probability - chance) / (1 - chance))

        deviation = mean((p_y - mean(p_y)).square()).sqrt()
        return Context(relative(p.amax(-1)), relative(p_y), 2 * deviation)

    def _unreduced(
        self, logits: Tensor, target: Tensor, context: Context | None
    ) -> tuple[Tensor, Tensor]:
        """The loss of each example, and what each counts for in the mean."""
        examples = _examples(logits, target)
        logits, present, target, soft = examples
        weight = logits.new_ones(logits.shape[-1])
        weight = weight if self.weight is None else self.weight.to(logits.dtype)
        if weight.shape != logits.shape[-1:]:
            raise ValueError(f"weight of shape {tuple(weight.shape)}: expected one for each class")
        # A row without any class is a uniform one until its loss is masked.
        empty = ~present.any(-1, keepdim=True)
        log_p = log_softmax(logits.masked_fill(empty, 0.0)).clamp(min=MIN_LOG_PROB)
        network, scale = getattr(self, f"_{self.network}"), self.scale.to(logits.dtype)
        if self.network == "monotone":
            network = partial(network, context=context or self._context(examples))
        if soft:
            every = torch.arange(logits.shape[-1], device=logits.device).expand(logits.shape)
            losses = (weight * target * (scale * network(log_p, every))).sum(-1)
            return losses, torch.ones_like(losses)
        ids = target.unsqueeze(-1)
        ignored = ids == self.ignore_index
        valid = (ids >= 0) & (ids < logits.shape[-1])
        ids = torch.where(valid & ~ignored, ids, 0)  # an id to gather with, whatever was given
        counted = weight[ids].masked_fill(ignored, 0.0)
        losses = weight[ids] * (scale * network(log_p, ids))
        losses = losses.masked_fill(ignored | ~present.gather(-1, ids), 0.0)
        losses = losses.masked_fill(~(valid | ignored | empty), torch.nan)
        return losses.squeeze(-1), counted.squeeze(-1)

    # Each network takes log-probabilities (..., C) and L labels of each example, (..., L), and
    # gives the loss under each label, (..., L).

    def _symmetric(self, log_p: Tensor, labels: Tensor) -> Tensor:
        """Six features of prediction and label that no relabelling changes, then an MLP."""
        p = log_p.exp()
        log_p_y, log_other = log_p.gather(-1, labels), log_rival(log_p, labels)
        features = (
            log_p_y.exp(),
            log_other.exp(),
            log_p_y.clamp(min=LOG_RESOLUTION) / LOG_SCALE,
            log_other.clamp(min=LOG_RESOLUTION) / LOG_SCALE,
            -(p * log_p).sum(-1, keepdim=True).expand_as(log_p_y),
            p.square().sum(-1, keepdim=True).expand_as(log_p_y),
        )
        return self._mlp(torch.stack(features, -1))

    def _deepset(self, log_p: Tensor, labels: Tensor) -> Tensor:
        """A layer on each class's (p, y, y p, y log p), summed over the classes, then an MLP."""
        weights, biases = self._layer("class", log_p.dtype)
        p = log_p.exp().unsqueeze(-1)
        log_p_y = log_p.gather(-1, labels).unsqueeze(-1)
        p_y = log_p_y.exp()
        every = activation(p * weights[0] + biases) - activation(biases)
        floored = log_p_y.clamp(min=LOG_RESOLUTION) / LOG_SCALE
        label = torch.cat([p_y, torch.ones_like(p_y), p_y, floored], -1)
        label = activation(label @ weights + biases) - activation(p_y * weights[0] + biases)
        return self._mlp(every.sum(-2, keepdim=True) + label)

    def _concat(self, log_p: Tensor, labels: Tensor) -> Tensor:
        """An MLP on [p, one-hot label], bound to its number of classes."""
        if log_p.shape[-1] != self.num_classes:
            raise ValueError(f"logits of {log_p.shape[-1]} classes: expected {self.num_classes}")
        one_hot = functional.one_hot(labels, self.num_classes).to(log_p.dtype)
        p = log_p.exp().unsqueeze(-2).expand_as(one_hot)
        return self._mlp(torch.cat([p, one_hot], -1))

    def _taylor(self, log_p: Tensor, labels: Tensor) -> Tensor:
        """TaylorGLO's third-order polynomial of p and the one-hot label."""
        theta = self.theta.to(log_p.dtype)

        def polynomial(y: float, p: Tensor) -> Tensor:
            y_shift, p_shift = y - theta[0], p - theta[1]
            linear = theta[2] + theta[5] * y_shift + theta[7] * y_shift.square() / 2
            quadratic = theta[3] / 2 + theta[6] * y_shift / 2
            return p_shift * (linear + p_shift * (quadratic + p_shift * theta[4] / 6))

        p = torch.where(log_p <= MIN_LOG_PROB, theta[1], log_p.exp())
        p_y = log_p.gather(-1, labels).exp()
        others = polynomial(0.0, p).sum(-1, keepdim=True) - polynomial(0.0, p_y)
        return -(others + polynomial(1.0, p_y))

    def _monotone(self, log_p: Tensor, labels: Tensor, context: Context) -> Tensor:
        """Cross-entropy, soft steps in the label's log-odds and smoothing, passed over by a gate.

        Divided by its slope at chance in a context of zeros, it has cross-entropy's gradient there.
        """
        dtype = log_p.dtype
        log_p_y, log_rest = log_p.gather(-1, labels), log_other_mass(log_p, labels)
        present = log_p > MIN_LOG_PROB
        number = present.sum(-1, keepdim=True).to(dtype).clamp(min=1)
        others = (number - 1).clamp(min=1)
        share = (log_rival(log_p, labels) - log_rest).clamp(max=0.0).exp()
        rival = (share * others - 1) / (others - 1).clamp(min=1)
        floored = log_p.clamp(min=LOG_RESOLUTION).masked_fill(~present, 0.0)
        smoothing = -floored.sum(-1, keepdim=True) / number - number.log()

        def param(name: str) -> Tensor:
            return getattr(self, name).to(dtype)

        before, after = (functional.softplus(param(f"steps_{i}")) for i in ("before", "after"))
        width = LEAST_WIDTH + functional.softplus(param("steps_width"))
        place = MOST_LOG_ODDS * (param("steps_place") / 3).tanh()
        offset = param("steps_relative").sigmoid() * others.log().unsqueeze(-1) - place
        log_loss = functional.softplus(param("log_loss_after"))
        low, high = SMOOTHING_SHARE * param("smoothing").clamp(min=0.0)

        def gate(context: Context) -> Tensor:
            weights = param("gate_weights")
            weights = weights / weights.abs().sum().clamp(min=1e-6)
            weighed = sum(w * x for w, x in zip(weights, context, strict=True))
            threshold = param("gate_threshold")[0].sigmoid()
            opened = (GATE_SHARPNESS * (weighed - threshold)).sigmoid()
            return opened.unsqueeze(-1)  # along the labels

        def passing(opened: Tensor, before: Tensor | float, after: Tensor) -> Tensor:
            return (1 - opened) * before + opened * after

        def ahead(log_odds: Tensor) -> Tensor:
            return (-(log_odds.unsqueeze(-1) + offset) / width).sigmoid()

        opened = gate(context)
        log_odds = log_p_y - log_rest + RIVAL_SIZE * param("rival") * rival
        weights = passing(opened.unsqueeze(-1), before, after)
        value = (weights * 4 * width * ahead(log_odds)).sum(-1)
        value = value - passing(opened, 1.0, log_loss) * log_p_y
        value = value + passing(opened, low, high) * smoothing
        at_start = gate(Context(*log_p.new_zeros(3)))
        certain = (number - 1) / number
        passed = ahead(-others.log())
        slope = (passing(at_start, before, after) * 4 * passed * (1 - passed)).sum(-1)
        slope = slope + passing(at_start, 1.0, log_loss) * certain
        return value * certain / slope.clamp(min=1e-30)

    def _layer(self, name: str, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        weights, biases = getattr(self, f"{name}_weights"), getattr(self, f"{name}_biases")
        return weights.to(dtype), biases.to(dtype)

    def _mlp(self, x: Tensor) -> Tensor:
        for i in range(3):
            weights, biases = self._layer(f"mlp_{i}", x.dtype)
            x = x @ weights + biases
            x = activation(x) if i < 2 else functional.softplus(x)
        return x.squeeze(-1)


def _examples(logits: Tensor, target: Tensor) -> _Examples:
    dtype = torch.promote_types(logits.dtype, torch.float32)
    axis, soft = min(1, logits.ndim - 1), target.ndim == logits.ndim
    ids_shape = logits.shape[:axis] + logits.shape[axis + 1 :]
    if target.shape != (logits.shape if soft else ids_shape) or not (
        soft or is_integer(target.dtype)
    ):
        raise ValueError(
            f"target of shape {tuple(target.shape)} and {target.dtype}: expected integer class ids "
            f"of shape {tuple(ids_shape)} or class probabilities of shape {tuple(logits.shape)}"
        )
    logits = logits.to(dtype).movedim(axis, -1)
    present = logits != -torch.inf
    if not soft:
        return _Examples(logits, present, target.long(), soft=False)
    target = target.to(dtype).movedim(axis, -1).masked_fill(~present, 0.0)
    return _Examples(logits, present, target, soft=True)


def is_integer(dtype: torch.dtype) -> bool:
    """Whether a dtype holds whole numbers, and more of them than two."""
    return not (dtype.is_floating_point or dtype.is_complex or dtype == torch.bool)


def activation(x: Tensor) -> Tensor:
    """The smooth sigmoid x / sqrt(1 + x**2)."""
    return x * torch.rsqrt(1 + x.square())


def log_softmax(logits: Tensor) -> Tensor:
    """Log-probabilities along the last axis, exact to float precision also where p is near 1."""
    top = logits.argmax(-1, keepdim=True)
    shifted = logits - logits.gather(-1, top)
    others = shifted.exp().scatter(-1, top, 0.0).sum(-1, keepdim=True)
    return shifted - others.log1p()


def log_rival(log_p: Tensor, labels: Tensor) -> Tensor:
    """Log-probability of the most probable class but the label.

    What ties is averaged, so that no class is preferred by its index.
    """
    is_top = log_p == log_p.amax(-1, keepdim=True)
    number, total = is_top.sum(-1, keepdim=True), (log_p * is_top).sum(-1, keepdim=True)
    others = log_p.masked_fill(is_top, 2 * MIN_LOG_PROB)
    second = others.amax(-1, keepdim=True)  # shares its gradient among what ties
    of_tied = (total - log_p.gather(-1, labels)) / (number - 1).clamp(min=1)
    rival = torch.where(number > 1, of_tied, second)
    return torch.where(is_top.gather(-1, labels), rival, total / number)


def log_other_mass(log_p: Tensor, labels: Tensor) -> Tensor:
    """log(1 - p_y), exact also where p_y is 1 to float precision."""
    top = log_p.argmax(-1, keepdim=True)
    rest_of_top = log_p.scatter(-1, top, 2 * MIN_LOG_PROB).logsumexp(-1, keepdim=True)
    # Any other class has p <= 1/2. The bound only keeps infinity out of the branch not taken.
    rest_of_others = (-log_p.gather(-1, labels).clamp(max=-0.5).expm1()).log()
    return torch.where(labels == top, rest_of_top, rest_of_others)
