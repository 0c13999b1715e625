"""Training examples by how suspect their label is."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from edl_jax.errors import EdlError


@dataclass(frozen=True)
class Suspects:
    """Training examples by how suspect their label is.

    Attributes:
      order: int ``[N]``, all examples, the most suspect first: by the margin of the given label's
        probability over the most probable other class.
      number: how many of them, from the first, are suspect: those whose margin is negative, for
        which another class is more probable than the label.
      given: int ``[N]``, the labels.
      suggested: int ``[N]``, the most probable other class.
      p_given, p_suggested: float ``[N]``, their probabilities.
    """

    order: np.ndarray
    number: int
    given: np.ndarray
    suggested: np.ndarray
    p_given: np.ndarray
    p_suggested: np.ndarray

    @property
    def indices(self) -> np.ndarray:
        """The suspect examples, the most suspect first."""
        return self.order[: self.number]

    @property
    def noise_rate(self) -> float:
        """The share of labels that are suspect: an estimate of the share that is wrong."""
        return self.number / len(self.order)

    def precision_and_recall(self, wrong: ArrayLike) -> tuple[float, float]:
        """Share of the suspect labels that are wrong, and of the wrong ones that are suspect.

        Args:
          wrong: boolean ``[N]``. Where nothing is suspect, or nothing wrong, the share is NaN.
        """
        wrong = np.asarray(wrong, bool)
        found = int(wrong[self.indices].sum())
        totals = self.number, int(wrong.sum())
        precision, recall = (found / total if total else float("nan") for total in totals)
        return precision, recall


def rank_suspects(probs: ArrayLike, labels: ArrayLike) -> Suspects:
    """Rank examples by how suspect their label is.

    It takes the probabilities on the examples that the classifier was trained on; so they must be
    those of a loss that does not learn wrong labels by heart, such as ``edl-robust``.

    Args:
      probs: float ``[N, K]``, rows that sum to one; the mean over several classifiers ranks better
        than one.
      labels: int ``[N]``, the labels as given, from 0 to K - 1.

    Raises:
      EdlError: the shapes do not fit, or a label is no class.

    >>> suspects = rank_suspects([[0.7, 0.3], [0.1, 0.9], [0.6, 0.4]], [0, 0, 1])
    >>> suspects.indices.tolist(), suspects.suggested[suspects.indices].tolist()
    ([1, 2], [1, 0])
    """
    probs, labels = np.asarray(probs, float), np.asarray(labels)
    fits = probs.ndim == 2 and probs.shape[1] > 1 and labels.shape == probs.shape[:1]
    if not fits or labels.dtype.kind not in "iu" or labels.size == 0:
        raise EdlError(
            f"probs of shape {list(probs.shape)} and labels {list(labels.shape)}, {labels.dtype}: "
            "expected [N, K] and whole numbers [N]"
        )
    if labels.min() < 0 or labels.max() >= probs.shape[1]:
        raise EdlError(
            f"labels from {labels.min()} to {labels.max()}: expected 0 to {probs.shape[1] - 1}"
        )
    rows = np.arange(len(labels))
    others = probs.copy()
    others[rows, labels] = -np.inf
    suggested = others.argmax(-1)
    p_given, p_suggested = probs[rows, labels], others[rows, suggested]
    margin = p_given - p_suggested
    order = np.argsort(margin, kind="stable")
    return Suspects(order, int((margin < 0).sum()), labels, suggested, p_given, p_suggested)
