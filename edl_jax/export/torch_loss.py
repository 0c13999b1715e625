"""A learned loss of edl_jax as a PyTorch module. Needs torch and numpy, not JAX.

``python -m edl_jax.export LOSS --format torch`` puts a copy of this file beside the weights,
``NAME.py`` beside ``NAME.npz``. The two can be moved and renamed together:

    from NAME import LearnedLoss

    criterion = LearnedLoss()  # called like torch.nn.CrossEntropyLoss
    criterion(logits, labels).backward()
"""

import json
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

LOG_SCALE = 8.0  # log-probabilities enter the networks divided by this
MIN_LOG_PROB = -1e6  # the log-probability of a class that is absent (logit -inf)


class LearnedLoss(nn.Module):
    """A frozen evolved loss with the calling convention of ``torch.nn.CrossEntropyLoss``.

    Computes in float32, or in float64 for float64 logits, under autocast too. Its weights are
    buffers that follow ``.to(device)``; they are neither trained nor part of the state dict.

    Args:
      weights: the .npz file that a learned loss is kept in; by default the one beside this file
        that has its name.
      reduction: ``"mean"``, ``"sum"`` or ``"none"``.
    """

    def __init__(self, weights: str | Path | None = None, reduction: str = "mean") -> None:
        super().__init__()
        if reduction not in ("mean", "sum", "none"):
            raise ValueError(f"reduction {reduction!r}: expected 'mean', 'sum' or 'none'")
        self.reduction = reduction
        with np.load(weights or Path(__file__).with_suffix(".npz"), allow_pickle=False) as file:
            spec = json.loads(file["spec.json"])
            params = {n.removeprefix("params/"): file[n] for n in file.files if n != "spec.json"}
        self.network, self.num_classes = spec["network"]["name"], spec["network"]["num_classes"]
        self.register_buffer("scale", torch.tensor(spec["scale"]), persistent=False)
        for name, array in params.items():
            tensor = torch.from_numpy(array.astype("float32"))
            self.register_buffer(name.replace("/", "_"), tensor, persistent=False)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """The loss of ``logits`` under ``target``.

        Args:
          logits: unnormalised log-probabilities, shape (C), (N, C) or (N, C, d1, ...). A class
            with logit -inf is absent.
          target: class ids, shape (), (N) or (N, d1, ...), or class weights of the shape of
            ``logits``: one-hot or soft labels.

        Returns:
          A scalar, or without reduction the shape of class ids.
        """
        with torch.autocast(logits.device.type, enabled=False):
            losses = self._unreduced(logits, target)
        return losses if self.reduction == "none" else getattr(losses, self.reduction)()

    def _unreduced(self, logits: Tensor, target: Tensor) -> Tensor:
        dtype = torch.promote_types(logits.dtype, torch.float32)
        axis, soft = min(1, logits.ndim - 1), target.ndim == logits.ndim
        ids_shape = logits.shape[:axis] + logits.shape[axis + 1 :]
        if target.shape != (logits.shape if soft else ids_shape):
            raise ValueError(
                f"target of shape {tuple(target.shape)}: expected class ids of shape "
                f"{tuple(ids_shape)} or class weights of shape {tuple(logits.shape)}"
            )
        logits = logits.to(dtype).movedim(axis, -1)
        target = target.to(dtype).movedim(axis, -1) if soft else target.long().unsqueeze(-1)
        # A row without any class is a uniform one until its loss is masked.
        empty = (logits == -torch.inf).all(-1, keepdim=True)
        log_p = log_softmax(logits.masked_fill(empty, 0.0)).clamp(min=MIN_LOG_PROB)
        every = torch.arange(logits.shape[-1], device=logits.device).expand(logits.shape)
        labels = every if soft else target
        losses = self.scale.to(dtype) * getattr(self, f"_{self.network}")(log_p, labels)
        losses = losses.masked_fill(logits.gather(-1, labels) == -torch.inf, 0.0)
        if soft:
            losses = torch.where(target == 0, 0.0, target * losses)
        return losses.sum(-1)

    # Each network takes log-probabilities (..., C) and L labels of each example, (..., L), and
    # gives the loss under each label, (..., L).

    def _symmetric(self, log_p: Tensor, labels: Tensor) -> Tensor:
        """Six features of prediction and label that no relabelling changes, then an MLP."""
        p = log_p.exp()
        log_p_y = log_p.gather(-1, labels)
        top_class = log_p.argmax(-1, keepdim=True)
        top = log_p.gather(-1, top_class)
        others = log_p.scatter(-1, top_class, 2 * MIN_LOG_PROB)
        second = others.gather(-1, others.argmax(-1, keepdim=True))
        log_other = torch.where(labels == top_class, second, top)
        features = (
            log_p_y.exp(),
            log_other.exp(),
            log_p_y / LOG_SCALE,
            log_other / LOG_SCALE,
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
        label = torch.cat([p_y, torch.ones_like(p_y), p_y, log_p_y / LOG_SCALE], -1)
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

        p = torch.where(log_p > MIN_LOG_PROB, log_p.exp(), theta[1])
        p_y = log_p.gather(-1, labels).exp()
        others = polynomial(0.0, p).sum(-1, keepdim=True) - polynomial(0.0, p_y)
        return -(others + polynomial(1.0, p_y))

    def _layer(self, name: str, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        weights, biases = getattr(self, f"{name}_weights"), getattr(self, f"{name}_biases")
        return weights.to(dtype), biases.to(dtype)

    def _mlp(self, x: Tensor) -> Tensor:
        for i in range(3):
            weights, biases = self._layer(f"mlp_{i}", x.dtype)
            x = x @ weights + biases
            x = activation(x) if i < 2 else functional.softplus(x)
        return x.squeeze(-1)


def activation(x: Tensor) -> Tensor:
    """The smooth sigmoid x / sqrt(1 + x**2)."""
    return x * torch.rsqrt(1 + x.square())


def log_softmax(logits: Tensor) -> Tensor:
    """Log-probabilities along the last axis, exact to float precision also where p is near 1."""
    top = logits.argmax(-1, keepdim=True)
    shifted = logits - logits.gather(-1, top)
    others = shifted.exp().scatter(-1, top, 0.0).sum(-1, keepdim=True)
    return shifted - others.log1p()
