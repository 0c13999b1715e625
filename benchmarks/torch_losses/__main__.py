"""The cost of a learned loss in PyTorch.

    python -m benchmarks.torch_losses

Times the value and gradient of each loss's mean over a batch, eager and compiled, beside
``torch.nn.CrossEntropyLoss``.
"""

from collections.abc import Sequence

from benchmarks.torch_losses.config import TorchLossesConfig
from edl_jax import cli
from edl_jax.errors import require_package

PROG = "python -m benchmarks.torch_losses"


def command(args: Sequence[str] | None = None) -> None:
    """Run the command line ``args``."""
    config = cli.parse(TorchLossesConfig, args, prog=PROG)

    require_package(PROG, "torch", "bench")

    from benchmarks.common.results_file import meta, results_path, write_rows
    from benchmarks.common.timing import hardware
    from benchmarks.torch_losses import cells
    from benchmarks.torch_losses.table import markdown

    output = results_path("torch_losses", config.output, config.quick)
    output.parent.mkdir(parents=True, exist_ok=True)
    rows = list(cells.rows(config))
    write_rows(output, meta() | hardware("torch"), rows)
    print(markdown(rows))


if __name__ == "__main__":
    cli.main(command)
