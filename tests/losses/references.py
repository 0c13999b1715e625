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


def nce_reference(p, y):
    # 0 / 0 for a lone class; certainty costs nothing.
    return (y * np.log(p)).sum() / np.log(p).sum() if len(p) > 1 else 0.0


def gce_logit_bias_reference(p, y):
    biased = np.exp(np.log(p) + np.log(len(p) / 10) * y)
    return (1 - (y * biased / biased.sum()).sum() ** 0.7) / 0.7


def anl_ce_reference(p, y):
    flipped = -np.log(1e-7) + np.log(np.clip(p, 1e-7, 1))
    return 5 * nce_reference(p, y) + 5 * (1 - (y * flipped).sum() / flipped.sum())


def eps_softmax_mae_reference(p, y):
    amplified = p.copy()
    top = np.log(p) > np.log(p).max() - 1e-9  # those that tie share
    amplified[top] += 1e5 / top.sum()
    log_amplified = np.log(np.clip(amplified / (1e5 + 1), 1e-8, None))
    return -0.01 * (y * log_amplified).sum() + 5 * np.abs(p - y).sum()


# The published formulas for the probabilities and the one-hot label of one example, both [K].
REFERENCES = {
    "cross_entropy": lambda p, y: -(y * np.log(p)).sum(),
    "label_smoothing": lambda p, y: -((0.9 * y + 0.1 / len(y)) * np.log(p)).sum(),
    "focal": lambda p, y: -(y * (1 - p) ** 2 * np.log(p)).sum(),
    "poly1": lambda p, y: -(y * np.log(p)).sum() + 1 - (y * p).sum(),
    "brier": lambda p, y: ((p - y) ** 2).sum(),
    "one_minus_p": lambda p, y: np.abs(p - y).sum() / 2,
    "gce": lambda p, y: (1 - (y * p).sum() ** 0.7) / 0.7,
    "gce_logit_bias": gce_logit_bias_reference,
    "symmetric_ce": lambda p, y: -0.1 * (y * np.log(p)).sum() + reverse_ce_reference(p, y),
    "nce_rce": lambda p, y: nce_reference(p, y) + reverse_ce_reference(p, y),
    "nce_agce": lambda p, y: nce_reference(p, y) + 4 * (7**1.5 - (6 + (y * p).sum()) ** 1.5) / 1.5,
    "anl_ce": anl_ce_reference,
    "jal_ce": lambda p, y: nce_reference(p, y) + ((30 * y - p) ** 2).mean(),
    "eps_softmax_mae": eps_softmax_mae_reference,
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


def monotone_loss(params, logits, label, context):
    """The loss of network monotone as its docstring has it, [K] logits of classes all present."""
    params = {name: np.asarray(value, np.float64) for name, value in params.items()}

    def softplus(name):
        return np.logaddexp(0, params[name])

    def sigmoid(x):
        return np.exp(-np.logaddexp(0, -x))

    def gate(context):
        weights = params["gate/weights"] / np.abs(params["gate/weights"]).sum()
        return sigmoid(150 * (np.dot(weights, context) - sigmoid(params["gate/threshold"][0])))

    log_p = log_probs(logits)
    others, num_classes = np.delete(log_p, label), len(log_p)
    log_rest = np.logaddexp.reduce(others)
    share = np.exp(others.max() - log_rest)  # from 1 / (K - 1), where all are equal, to 1
    rival = (share * (num_classes - 1) - 1) / (num_classes - 2) if num_classes > 2 else 0.0
    smoothing = -np.maximum(log_p, np.log(2.0**-24)).mean() - np.log(num_classes)
    width = 0.5 + softplus("steps/width")
    relative = sigmoid(params["steps/relative"]) * np.log(num_classes - 1)
    place = 8 * np.tanh(params["steps/place"] / 3)

    def shape(log_p_y, log_odds, smoothing, opened):
        u = (log_odds + relative - place) / width
        low, high = 0.2 * np.maximum(params["smoothing"], 0)
        before = -log_p_y + softplus("steps/before") @ (4 * width * sigmoid(-u)) + low * smoothing
        after = -softplus("log_loss/after")[0] * log_p_y + high * smoothing
        after += softplus("steps/after") @ (4 * width * sigmoid(-u))
        return (1 - opened) * before + opened * after

    def at_chance(z):  # the true logit, the others being 0
        log_rest = np.log(num_classes - 1)
        return shape(z - np.logaddexp(z, log_rest), z - log_rest, 0.0, gate(np.zeros(3)))

    step = 1e-5
    slope = (at_chance(-step) - at_chance(step)) / (2 * step)
    log_odds = log_p[label] - log_rest + 4.0 * params["rival"][0] * rival
    value = shape(log_p[label], log_odds, smoothing, gate(context))
    return value * (1 - 1 / num_classes) / slope


# --- context -----------------------------------------------------------------------------------


def batch_context(rows):
    """Confidence, agreement and spread of rows (logits [K], label or weights [K], present [K])."""
    figures = []
    for logits, label, present in rows:
        weights = label if np.ndim(label) else np.arange(len(logits)) == label
        z, weights = np.float64(logits)[present], np.float64(weights)[present]
        if len(z) > 1 and np.isfinite(z).all() and weights.sum() > 0:
            p = np.exp(log_probs(z))
            figures.append((p.max(), weights @ p / weights.sum(), 1 / len(z)))
    if not figures:
        return np.zeros(3)
    top, p_y, chance = np.transpose(figures)
    relative = [((x - chance) / (1 - chance)).mean() for x in (top, p_y)]
    return np.array([*relative, 2 * p_y.std()])
