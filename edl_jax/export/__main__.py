"""Hand a loss over to other programs: as StableHLO, as a PyTorch module, or as an ONNX graph."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from edl_jax import cli
from edl_jax.errors import (
    EdlError,
    OptionError,
    plain_numbers,
    require,
    require_int,
    require_package,
)
from edl_jax.files import atomic_write, path_exists
from edl_jax.parts import is_own

PROG = "python -m edl_jax.export"
SUFFIXES = {"stablehlo": ".stablehlo", "torch": ".py", "onnx": ".onnx"}


@dataclass(frozen=True)
class ExportConfig:
    """Hand a loss over to other programs: as StableHLO, as a PyTorch module, or as ONNX."""

    loss: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="LOSS")]]
    """Shipped loss by name, artifact or pretrain run directory by path;
    as stablehlo also a hand-made loss by name."""
    format: Literal["stablehlo", "torch", "onnx"] = "stablehlo"
    """stablehlo: value and gradient, serialised by jax.export for CPU,
    CUDA, ROCm and TPU; torch: a Python file that needs torch and numpy,
    its weights beside it; onnx: the value only."""
    output: Path | None = None
    """File to write; None names one in the working directory after the
    loss."""
    overwrite: bool = False
    """Replace the files that are there."""
    num_classes: int | None = None
    """Number of classes (stablehlo, onnx); None leaves it open, except
    for a concat loss, which has its own. The batch size is always open."""
    soft_labels: bool = False
    """Labels of stablehlo and onnx are one-hot or soft, float32 of the
    logits' shape, instead of class ids; torch takes both."""

    def __post_init__(self) -> None:
        plain_numbers(self)
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
            self._check_free(made)

    def _check_free(self, made: Path) -> None:
        source = Path(self.loss).resolve()
        if made.resolve() in (source, source / "loss.npz"):
            expected = "another file than the loss itself"
        elif path_exists(made) and not self.overwrite:
            expected = "a file that does not exist yet, or --overwrite"
        else:
            return
        if self.output is None:
            raise EdlError(f"{made}: expected {expected}; --output names another")
        raise OptionError("output", made, expected)

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


def command(args: list[str] | None = None) -> None:
    """Run the command line ``args``."""
    config = cli.parse(ExportConfig, args, prog=PROG)

    from edl_jax.export import to_stablehlo, to_torch
    from edl_jax.losses.learned import LearnedLoss
    from edl_jax.losses.loading import require_loss, resolve_loss
    from edl_jax.losses.networks import OwnNetworkSpec

    loss = resolve_loss(config.loss)
    classes = config.num_classes
    if isinstance(loss, LearnedLoss) and loss.spec.name == "concat" and config.format != "torch":
        own = loss.spec.num_classes
        expected = f"{own}, which this concat loss was evolved for"
        require(classes in (None, own), "num_classes", classes, expected)
        classes = own
    if is_own(config.loss):
        require_loss(config.loss, loss, classes or 10)
    if config.format == "stablehlo":
        _write(config.path, to_stablehlo(loss, classes, config.soft_labels))
    elif not isinstance(loss, LearnedLoss):
        raise EdlError(
            f"loss {config.loss}: expected a learned loss with --format {config.format}; a "
            "hand-made one can be had as stablehlo"
        )
    elif isinstance(loss.spec, OwnNetworkSpec):
        raise EdlError(
            f"loss {config.loss}: expected a loss of a network of edl_jax with --format "
            f"{config.format}; one of {loss.spec.name} can be had as stablehlo"
        )
    elif config.format == "torch":
        to_torch(loss, config.path)
    else:
        from edl_jax.export.onnx_graph import make_model

        _write(config.path, make_model(loss, classes, config.soft_labels).SerializeToString())
    print("Written: " + ", ".join(str(path) for path in config.made))


def _write(path: Path, content: bytes) -> None:
    with atomic_write(path) as file:
        file.write(content)


if __name__ == "__main__":
    cli.main(command)
