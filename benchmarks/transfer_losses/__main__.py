"""Which loss trains better: evolved and hand-made ones, on clean and noisy labels, tuned alike.

For each loss the learning rate is chosen from one grid on held-out training images, then fresh
seeds are measured on the test images. Two protocols: *aware* chooses for each noise level, on
held-out images with the same noise; *unaware* chooses on clean labels and uses that rate at every
noise level. Losses are paired by seed: same images, noise, initial weights and batches.
"""

from collections.abc import Sequence
from dataclasses import replace

from benchmarks.transfer_losses.config import TransferLossesConfig
from benchmarks.transfer_losses.settings import QUICK, SETTINGS
from edl_jax import cli

PROG = "python -m benchmarks.transfer_losses"


def command(args: Sequence[str] | None = None) -> None:
    """Run the command line ``args``."""
    config = cli.parse(TransferLossesConfig, args, prog=PROG)
    setting = SETTINGS[config.setting]
    if config.quick:
        setting = QUICK
        config = replace(config, seeds=config.seeds[:2], losses=config.losses[:6])

    from benchmarks.common.results_file import results_path
    from benchmarks.transfer_losses.cells import run_all
    from benchmarks.transfer_losses.datasets import load_set
    from benchmarks.transfer_losses.peers import PEERS
    from benchmarks.transfer_losses.table import print_table
    from edl_jax.losses.loading import resolve_loss

    for name in config.losses:  # what cannot be run shall say so before anything is
        if name not in PEERS:
            resolve_loss(name)
    load_set(setting.dataset, config.data_dir)
    output = results_path("transfer_losses", config.output, config.quick)
    run_all(setting, config, output)
    print_table(output)


if __name__ == "__main__":
    cli.main(command)
