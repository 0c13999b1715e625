"""Print the properties and certificates of losses side by side, and draw their shapes."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from edl_jax import cli
from edl_jax.errors import not_writable, plain_numbers, require, require_int
from edl_jax.files import distinct_names
from edl_jax.runs.output import show

PROG = "python -m edl_jax.analyze"


@dataclass(frozen=True)
class AnalyzeConfig:
    """Print the properties of losses side by side, and draw their gradients and surfaces."""

    losses: tyro.conf.Positional[
        Annotated[tuple[str, ...], tyro.conf.arg(metavar="LOSS [LOSS ...]")]
    ]
    """Hand-made or shipped losses by name, artifacts or pretrain run directories by path."""
    num_classes: int = 10
    """Classes of the predictions on which the properties are measured."""
    output_dir: Path | None = None
    """Directory for gradient_profile.png and simplex.png; nothing is drawn by default."""

    def __post_init__(self) -> None:
        plain_numbers(self)
        require(len(self.losses) > 0, "LOSS", "not given", "at least one")
        require_int("num_classes", self.num_classes, 2, 1000)


def _cell(value: object) -> str:
    if isinstance(value, tuple):
        return " ".join(map(str, value)) or "none"
    return f"{value:.3g}" if isinstance(value, float) else "none" if value is None else str(value)


def command(args: list[str] | None = None) -> None:
    """Run the command line ``args``."""
    config = cli.parse(AnalyzeConfig, args, prog=PROG)

    from rich.table import Table

    from edl_jax import plots
    from edl_jax.losses.context import at_stages
    from edl_jax.losses.loading import require_loss, resolve_loss
    from edl_jax.objective.certificates import CERTIFICATE_TITLES, certify
    from edl_jax.objective.properties import PROPERTY_TITLES, measure_properties

    sources = list(dict.fromkeys(config.losses))
    resolved = dict(zip(sources, map(resolve_loss, sources), strict=True))
    for name, loss in resolved.items():
        require_loss(name, loss, config.num_classes)
    losses = at_stages(dict(zip(distinct_names(sources), resolved.values(), strict=True)))
    if config.output_dir is not None:
        try:
            config.output_dir.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise not_writable("output_dir", config.output_dir, error) from error

    num_classes = config.num_classes
    properties = [measure_properties(loss, num_classes) for loss in losses.values()]
    certificates = [certify(loss, num_classes) for loss in losses.values()]
    drawn = []
    if config.output_dir is not None:
        drawn = [config.output_dir / name for name in ("gradient_profile.png", "simplex.png")]
        plots.loss_shape(losses, drawn[0], num_classes)
        plots.simplex(losses, drawn[1])
    table = Table(title=f"Properties at {num_classes} classes", title_justify="left")
    table.add_column("property")
    for name in losses:
        table.add_column(name, justify="right")
    for rows, titles in ((properties, PROPERTY_TITLES), (certificates, CERTIFICATE_TITLES)):
        for field, title in titles.items():
            table.add_row(title, *(_cell(getattr(row, field)) for row in rows))
    show(table)
    if drawn:
        print("Drawn: " + ", ".join(map(str, drawn)))


if __name__ == "__main__":
    cli.main(command)
