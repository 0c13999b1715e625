"""The command lines under one name: ``edl-jax pretrain`` is ``python -m edl_jax.pretrain``."""

import sys
from importlib import import_module

from edl_jax import __version__, cli
from edl_jax.errors import EdlError, did_you_mean

# name -> the module whose ``command`` it is, and what that does.
COMMANDS = {
    "pretrain": ("edl_jax.pretrain", "evolve a loss on synthetic pairs, without any data"),
    "transfer": ("edl_jax.transfer", "train classifiers with losses and compare them"),
    "suspects": ("edl_jax.suspects.__main__", "rank training labels by how wrong they look"),
    "analyze": ("edl_jax.analyze", "print the properties of losses and draw their shapes"),
    "report": ("edl_jax.report.__main__", "write one HTML page about finished runs"),
    "export": ("edl_jax.export.__main__", "write a loss as StableHLO, PyTorch or ONNX"),
}


def usage() -> str:
    """The text that is printed where no command is named."""
    commands = (f"  {name:10}{does}" for name, (_, does) in COMMANDS.items())
    return "\n".join(
        [
            "usage: edl-jax COMMAND OPTIONS",
            *commands,
            "edl-jax COMMAND --help shows a command's options, edl-jax --version the version.",
        ]
    )


def run(args: list[str]) -> None:
    """Run the command line ``args``: a command's name, then its own arguments.

    Raises:
      EdlError: there is no such command, or the command refuses its arguments.
    """
    name = args[0] if args else "--help"
    if name in ("--help", "-h"):
        print(usage())
    elif name == "--version":
        print(f"edl-jax {__version__}")
    elif name in COMMANDS:
        import_module(COMMANDS[name][0]).command(args[1:])
    else:
        meant = did_you_mean(name, COMMANDS)
        raise EdlError(f"{name}: expected one of {', '.join(COMMANDS)}{meant}")


def main() -> None:
    """The console script ``edl-jax``."""
    cli.main(lambda: run(sys.argv[1:]))


if __name__ == "__main__":
    main()
