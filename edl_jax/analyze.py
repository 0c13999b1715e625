"""Print the properties of losses side by side, and draw their shapes."""

from dataclasses import dataclass
from pathlib import Path

import tyro

from edl_jax import cli
from edl_jax.errors import not_writable, require, require_int

PROG = "python -m edl_jax.analyze"


@dataclass(frozen=True)
class AnalyzeConfig:
    """Print the properties of losses side by side, and draw their gradients and surfaces."""

    losses: tyro.conf.Positional[tuple[str, ...]]
    """Hand-made or shipped losses by name, artifacts or pretrain run directories by path."""
    num_classes: int = 10
    """Classes of the predictions on which the properties are measured."""
    output_dir: Path | None = None
    """Directory for gradient_profile.png and simplex.png; nothing is drawn by default."""

    def __post_init__(self) -> None:
        require(len(self.losses) > 0, "losses", "", "at least one loss")
        require_int("num_classes", self.num_classes, 2, 1000)


def command(args: list[str] | None = None) -> None:
    """Run the command line ``args``."""
    config = cli.parse(AnalyzeConfig, args, prog=PROG)

    from rich.console import Console
    from rich.table import Table

    from edl_jax import plots
    from edl_jax.losses.learned import resolve_loss
    from edl_jax.objective.properties import PROPERTY_TITLES, measure_properties

    losses = {Path(name).name or name: resolve_loss(name) for name in config.losses}
    if config.output_dir is not None:
        try:
            config.output_dir.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise not_writable("output_dir", config.output_dir, error) from error

    measured = {name: measure_properties(loss, config.num_classes) for name, loss in losses.items()}
    table = Table(title=f"Properties at {config.num_classes} classes", title_justify="left")
    table.add_column("property")
    for name in losses:
        table.add_column(name, justify="right")
    for field, title in PROPERTY_TITLES.items():
        values = (getattr(row, field) for row in measured.values())
        table.add_row(title, *(f"{v:.3g}" if isinstance(v, float) else str(v) for v in values))
    Console().print(table)
    if config.output_dir is not None:
        shape = config.output_dir / "gradient_profile.png"
        simplex = config.output_dir / "simplex.png"
        plots.loss_shape(losses, shape, config.num_classes)
        plots.simplex(losses, simplex)
        Console().print(f"Drawn: {shape}, {simplex}")


if __name__ == "__main__":
    cli.main(command)
