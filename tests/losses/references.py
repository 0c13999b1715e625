"""Losses in float64, one example at a time, as their formulas have them."""

import numpy as np
from scipy.optimize import brentq

# --- hand-made losses --------------------------------------------------------------------------


def bi_tempered_reference(p, y, t1=0.8, t2=1.2):
    """The Bregman divergence as the paper writes it, its normaliser by bracketing."""

    def log_t(u, t):
        return (u ** (1 - t) - 1) / (1 - t)

    def tempered(c):
        return np.maximum(1 + (1 - t2) * (np.log(p) - c), 0) ** (1 / (1 - t2))

    top = np.log(p).max()
    widest = -log_t(1 / len(p), t2)
    r = tempered(brentq(lambda c: tempered(c).sum() - 1, top - 1e-9, top + widest + 1e-9))
    return (y * (log_t(y, t1) - log_t(r, t1)) - (y ** (2 - t1) - r ** (2 - t1)) / (2 - t1)).sum()


def reverse_ce_reference(p, y):
    return -(p * np.where(y == 1, 0.0, -4.0)).sum()


# The published formulas for the probabilities and the one-hot label of one example, both [K].
REFERENCES = {
    "cross_entropy": lambda p, y: -(y * np.log(p)).sum(),
    "label_smoothing": lambda p, y: -((0.9 * y + 0.1 / len(y)) * np.log(p)).sum(),
    "focal": lambda p, y: -(y * (1 - p) ** 2 * np.log(p)).sum(),
    "poly1": lambda p, y: -(y * np.log(p)).sum() + 1 - (y * p).sum(),
    "brier": lambda p, y: ((p - y) ** 2).sum(),
    "one_minus_p": lambda p, y: np.abs(p - y).sum() / 2,
    "gce": lambda p, y: (1 - (y * p).sum() ** 0.7) / 0.7,
    "symmetric_ce": lambda p, y: -0.1 * (y * np.log(p)).sum() + reverse_ce_reference(p, y),
    "nce_rce": lambda p, y: (y * np.log(p)).sum() / np.log(p).sum() + reverse_ce_reference(p, y),
    "bi_tempered": bi_tempered_reference,
    "baikal": lambda p, y: -(np.log(p) - y / p).mean(),
}


def handmade_loss(name, logits, label):
    """A hand-made loss of logits [K] at an integer label."""
    p = np.exp(log_probs(logits))
    return REFERENCES[name](p, 1.0 * (np.arange(len(p)) == label))


# --- loss networks -----------------------------------------------------------------------------


def log_probs(logits):
    z = np.asarray(logits, np.float64)
    return z - z.max() - np.log(np.sum(np.exp(z - z.max())))


def activation(x):
    return x / np.sqrt(1 + x**2)


def label_features(logits, label):
    """What a symmetric network reads of a prediction and its label; a lone class has no other."""
    log_p = log_probs(logits)
    p, log_other = np.exp(log_p), np.max(np.delete(log_p, label), initial=-1e6)
    logs = [max(x, np.log(2.0**-24)) / 8 for x in (log_p[label], log_other)]
    return np.array([p[label], np.exp(log_other), *logs, -np.sum(p * log_p), np.sum(p**2)])


def network_loss(name, params, logits, label):
    """The loss of a symmetric, deepset or concat network, one layer after another."""

    def layer(key, x):
        weights, biases = (np.float64(params[f"{key}/{part}"]) for part in ("weights", "biases"))
        return x @ weights + biases

    log_p = log_probs(logits)
    p, y = np.exp(log_p), np.arange(len(log_p)) == label
    if name == "symmetric":
        x = label_features(logits, label)
    elif name == "concat":
        x = np.concatenate([p, y])
    else:
        of_classes = layer(
            "class", np.stack([p, y, y * p, y * np.maximum(log_p, np.log(2.0**-24)) / 8], axis=-1)
        )
        x = np.sum(activation(of_classes) - activation(layer("class", np.zeros(4))), axis=0)
    x = activation(layer("mlp/1", activation(layer("mlp/0", x))))
    return np.logaddexp(0, layer("mlp/2", x)[0])
