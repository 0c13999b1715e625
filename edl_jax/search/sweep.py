"""Many searches from one command: every seed, with every combination of the options varied."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path

from edl_jax import cli
from edl_jax.errors import require
from edl_jax.runs.directory import CONFIG, stored_config
from edl_jax.search.presets import PretrainConfig


def runs(config: PretrainConfig, prog: str) -> list[PretrainConfig]:
    """The searches of ``config.seeds`` and ``config.vary``, each with a directory of its own.

    The directories are ``OPTION=VALUE,.../seed-N`` in ``config.output_dir``. A search that has
    begun there is one to resume, so that the same command again goes on with what is missing.

    Args:
      config: the command line.
      prog: the command's name, for errors.

    Raises:
      OptionError: there is no output directory, or it holds a search of other options.
      EdlError: an option that is varied does not exist, or refuses a value.
    """
    where = config.output_dir
    require(where is not None, "output_dir", "", "a directory, with seeds or vary")
    assert where is not None
    for name in ("distributed", "resume", "overwrite"):
        given = getattr(config, name)
        require(not given, name, "with --seeds or --vary", "the same command again to go on")
    alone = replace(config, seeds=(), vary=())
    found = []
    for chosen in _combinations(config.vary):
        varied = [text for name, value in chosen for text in (f"--{name}", *value.split())]
        for seed in config.seeds or (config.seed,):
            one = cli.parse(
                PretrainConfig, [*varied, "--seed", str(seed)], prog=prog, default=alone
            )
            path = where / _directory(chosen) / f"seed-{seed}"
            begun = (path / CONFIG).is_file()
            one = replace(one, output_dir=path, resume=begun)
            if begun:
                stored = stored_config(path, "pretrain")
                there = cli.recorded_config(PretrainConfig, stored, prog, path / CONFIG)
                same = there.recorded() == one.recorded()
                require(same, "output_dir", path, "a directory without a search of other options")
            found.append(one)
    return found


def _combinations(vary: tuple[str, ...]) -> Iterator[tuple[tuple[str, str], ...]]:
    """Each choice of one value for every option.

    >>> list(_combinations(("strategy=ES,SNES", "width=8")))
    [(('strategy', 'ES'), ('width', '8')), (('strategy', 'SNES'), ('width', '8'))]
    """
    options = []
    for text in vary:
        name, equals, values = text.partition("=")
        sound = bool(name and equals) and all(values.split(","))
        require(sound and name != "preset", "vary", text, "NAME=VALUE,VALUE,... of an option")
        name = name.removeprefix("--").replace("_", "-")
        options.append([(name, value) for value in values.split(",")])
    yield from product(*options)


def _directory(chosen: tuple[tuple[str, str], ...]) -> Path:
    """Where the runs of a combination are; the directory itself if nothing is varied."""
    return Path(",".join(f"{name}={value.replace('/', '_')}" for name, value in chosen))
