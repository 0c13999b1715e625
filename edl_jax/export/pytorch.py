"""A learned loss as a PyTorch module that needs neither JAX nor this package."""

from importlib.resources import files
from pathlib import Path

from edl_jax.files import atomic_write
from edl_jax.losses.learned import LearnedLoss


def to_torch(loss: LearnedLoss, path: str | Path) -> None:
    """Write a learned loss as the PyTorch module ``path`` with its weights beside it, as .npz.

    The module is a copy of :mod:`edl_jax.torch.learned_loss`.

    Raises:
      EdlError: a file cannot be written; none is left then.

    >>> import tempfile
    >>> from edl_jax.losses import load_loss
    >>> with tempfile.TemporaryDirectory() as directory:
    ...     to_torch(load_loss("edl-base"), f"{directory}/my_loss.py")
    ...     sorted(path.name for path in Path(directory).iterdir())
    ['my_loss.npz', 'my_loss.py']
    """
    path = Path(path)
    weights = path.with_suffix(".npz")
    loss.save(weights)
    try:
        with atomic_write(path) as file:
            file.write(files("edl_jax").joinpath("torch", "learned_loss.py").read_bytes())
    except BaseException:
        weights.unlink()
        raise
