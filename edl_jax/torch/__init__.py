"""The losses in PyTorch: modules that are made and called like ``torch.nn.CrossEntropyLoss``.

Needs torch and numpy; JAX is not imported.
"""

from pathlib import Path

from edl_jax.errors import EdlError
from edl_jax.losses import artifact

try:
    from torch import Tensor
except ImportError as error:
    raise ImportError('edl_jax.torch needs torch: pip install "edl_jax[torch]"') from error

from edl_jax.torch.learned_loss import Context, LearnedLoss

__all__ = ["Context", "LearnedLoss", "load_loss"]


def load_loss(
    source: str | Path,
    weight: Tensor | None = None,
    *,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> LearnedLoss:
    """Load a learned loss as a PyTorch module.

    Args:
      source: a shipped loss's name (``"edl-robust"``), an artifact's path, or a run directory of
        ``python -m edl_jax.pretrain``.
      weight, ignore_index, reduction: as for ``torch.nn.CrossEntropyLoss``; see
        :class:`LearnedLoss`.

    Returns:
      A module ``criterion(logits, target)``. Value and gradient are those of the loss in JAX.

    Raises:
      EdlError: there is no such loss, the file is not a sound learned loss, or its network has no
        form in PyTorch, as one of your own.
      ValueError: there is no such reduction.

    Example::

      criterion = load_loss("edl-robust")
      criterion(model(images), labels).backward()
    """
    path = artifact.locate(source)
    _, spec = artifact.read(path)
    network = spec.get("network", {}).get("name")
    if not hasattr(LearnedLoss, f"_{network}"):
        raise EdlError(f"{source}: its network is {network}, which has no form in PyTorch")
    return LearnedLoss(weight, ignore_index=ignore_index, reduction=reduction, file=path)
