"""Hand a loss over to other programs: as StableHLO, as a PyTorch module, or as an ONNX graph."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import tyro

from edl_jax import cli
from edl_jax.errors import EdlError, require, require_int, require_package
from edl_jax.files import atomic_write, path_exists

PROG = "python -m edl_jax.export"
PLATFORMS = ("cpu", "cuda", "rocm", "tpu")
SUFFIXES = {"stablehlo": ".stablehlo", "torch": ".py", "onnx": ".onnx"}


@dataclass(frozen=True)
class ExportConfig:
    """Hand a loss over to other programs: as StableHLO, as a PyTorch module, or as ONNX."""

    loss: tyro.conf.Positional[str]
    """Shipped loss by name, artifact or pretrain run directory by path;
    as stablehlo also a hand-made loss by name."""
    format: Literal["stablehlo", "torch", "onnx"] = "stablehlo"
    """stablehlo: value and gradient, serialised by jax.export for CPU,
    CUDA, ROCm and TPU; torch: a Python file that needs torch and numpy,
    its weights beside it; onnx: the value only."""
    output: Path | None = None
    """File to write, one that does not exist yet; None names one in the
    working directory after the loss."""
    num_classes: int | None = None
    """Number of classes (stablehlo, onnx); None leaves it open, except
    for a concat loss, which has its own. The batch size is always open."""
    soft_labels: bool = False
    """Labels of stablehlo and onnx are one-hot or soft, float32 of the
    logits' shape, instead of class ids; torch takes both."""

    def __post_init__(self) -> None:
        classes = self.num_classes
        if self.format == "torch":
            said = "not given with --format torch, which takes any logits and labels"
            require(classes is None, "num_classes", classes, said)
            require(not self.soft_labels, "soft_labels", self.soft_labels, said)
        if classes is not None:
            require_int("num_classes", classes, 2, 1_000_000)
        if self.format == "onnx":
            require_package("--format onnx", "onnx", "onnx")
        path = self.path
        if self.format == "torch":
            named = path.suffix == ".py" and path.stem.isidentifier()
            require(named, "output", path, "a name that Python can import, such as my_loss.py")
        for made in self.made:
            require(not path_exists(made), "output", made, "a file that does not exist yet")

    @property
    def path(self) -> Path:
        """The file to write."""
        if self.output is not None:
            return self.output
        source = Path(self.loss).resolve()
        name = re.sub(r"\W", "_", source.stem if source.suffix == ".npz" else source.name)
        return Path(("_" if name[:1].isdigit() else "") + name + SUFFIXES[self.format])

    @property
    def made(self) -> tuple[Path, ...]:
        """All files to write."""
        weights = (self.path.with_suffix(".npz"),) if self.format == "torch" else ()
        return (*weights, self.path)


def to_stablehlo(
    loss: Callable[..., Any], num_classes: int | None = None, soft_labels: bool = False
) -> bytes:
    """Serialise ``loss(logits, labels)`` and its gradient with :mod:`jax.export`.

    Args:
      loss: any loss of this package, unreduced.
      num_classes: fixes the number of classes; ``None`` leaves it open. The batch size is open.
      soft_labels: labels are float32 class weights, shape (batch, classes), instead of int32 class
        ids, shape (batch).

    Returns:
      What ``jax.export.deserialize`` takes, for CPU, CUDA, ROCm and TPU. It can be differentiated
      once.

    Raises:
      EdlError: a concat loss is to take another number of classes than its own.

    >>> import edl_jax, jax.export, jax.numpy as jnp
    >>> exported = jax.export.deserialize(to_stablehlo(edl_jax.LOSSES["brier"]))
    >>> exported.call(jnp.zeros((3, 2)), jnp.array([0, 1, 1]))
    Array([0.5, 0.5, 0.5], dtype=float32)
    """
    import jax
    import jax.export
    import jax.numpy as jnp

    batch, classes = jax.export.symbolic_shape("batch, classes")
    shape = (batch, classes if num_classes is None else num_classes)
    logits = jax.ShapeDtypeStruct(shape, jnp.float32)
    labels = logits if soft_labels else jax.ShapeDtypeStruct((batch,), jnp.int32)

    def losses(logits: jax.Array, labels: jax.Array) -> jax.Array:
        return loss(logits, labels)

    exported = jax.export.export(jax.jit(losses), platforms=PLATFORMS)(logits, labels)
    return bytes(exported.serialize(vjp_order=1))


def to_torch(loss: Any, path: str | Path) -> None:
    """Write a learned loss as the PyTorch module ``path`` with its weights beside it, as .npz.

    Raises:
      EdlError: a file cannot be written; none is left then.
    """
    path = Path(path)
    weights = path.with_suffix(".npz")
    loss.save(weights)
    try:
        with atomic_write(path) as file:
            file.write(files("edl_jax.export").joinpath("torch_loss.py").read_bytes())
    except BaseException:
        weights.unlink()
        raise


def command(args: list[str] | None = None) -> None:
    """Run the command line ``args``."""
    config = cli.parse(ExportConfig, args, prog=PROG)

    from edl_jax.losses.learned import LearnedLoss, resolve_loss

    loss: Any = resolve_loss(config.loss)
    num_classes = config.num_classes
    if isinstance(loss, LearnedLoss):
        if loss.spec.name == "concat" and config.format != "torch":
            own = loss.spec.num_classes
            expected = f"{own}, which this concat loss was evolved for"
            require(num_classes in (None, own), "num_classes", num_classes, expected)
            num_classes = own
    elif config.format != "stablehlo":
        raise EdlError(
            f"loss {config.loss}: expected a learned loss with --format {config.format}; a "
            "hand-made one can be had as stablehlo"
        )
    if config.format == "torch":
        to_torch(loss, config.path)
    else:
        if config.format == "onnx":
            from edl_jax.export.onnx_graph import make_model

            content = make_model(loss, num_classes, config.soft_labels).SerializeToString()
        else:
            content = to_stablehlo(loss, num_classes, config.soft_labels)
        with atomic_write(config.path) as file:
            file.write(content)
    print("Written: " + ", ".join(str(path) for path in config.made))


if __name__ == "__main__":
    cli.main(command)
