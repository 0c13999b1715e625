"""Many searches from one command: every seed, with every combination of the options varied."""

from collections.abc import Iterator
from dataclasses import fields, replace
from itertools import product
from pathlib import Path

from edl_jax import cli
from edl_jax.config import (
    ChaosConfig,
    EvolutionConfig,
    MixtureConfig,
    ObjectiveConfig,
    RehearsalConfig,
)
from edl_jax.errors import require, require_one_of
from edl_jax.files import path_exists
from edl_jax.runs.directory import CONFIG, stored_config
from edl_jax.search.presets import PretrainConfig

# What decides the outcome of a search, but for its seed.
_NESTED = {
    "chaos": fields(ChaosConfig),
    "mixture": fields(MixtureConfig),
    "objective": fields(ObjectiveConfig),
    "rehearsal": fields(RehearsalConfig),
}
_OPTIONS = (
    *(f.name for f in fields(EvolutionConfig)),
    *(inner.name for own in _NESTED.values() for inner in own),
    *(f"{outer}.{inner.name}" for outer, own in _NESTED.items() for inner in own),
    "num_restarts",
    "start",
)


def runs(config: PretrainConfig, prog: str) -> list[PretrainConfig]:
    """The searches of ``config.seeds`` and ``config.vary``, each with a directory of its own.

    The directories are ``OPTION=VALUE,.../seed-N`` in ``config.output_dir``. A search that has
    begun there is one to resume, so that the same command again runs what is missing.

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
    found: list[PretrainConfig] = []
    for chosen in _combinations(config.vary):
        varied = [text for name, value in chosen for text in (f"--{name}", *value.split())]
        for seed in config.seeds or (config.seed,):
            one = cli.parse(
                PretrainConfig, [*varied, "--seed", str(seed)], prog=prog, default=alone
            )
            path = where / _directory(chosen) / f"seed-{seed}"
            begun = path_exists(path / CONFIG)
            one = replace(one, output_dir=path, resume=begun)
            if begun:
                stored = stored_config(path, "pretrain")
                there = cli.recorded_config(PretrainConfig, stored, prog, path / CONFIG)
                same = there.recorded() == one.recorded()
                require(same, "output_dir", path, "a directory without a search of other options")
            alone_there = path not in {other.output_dir for other in found}
            expected = "values that give each search its own directory"
            require(alone_there, "vary", " ".join(config.vary), expected)
            found.append(one)
    return found


def _combinations(vary: tuple[str, ...]) -> Iterator[tuple[tuple[str, str], ...]]:
    """Each choice of one value for every option.

    >>> list(_combinations(("strategy=ES,SNES", "width=8")))
    [(('strategy', 'ES'), ('width', '8')), (('strategy', 'SNES'), ('width', '8'))]
    """
    options: dict[str, list[tuple[str, str]]] = {}
    for text in vary:
        name, _, values = text.partition("=")
        name, each = name.removeprefix("--").replace("-", "_"), values.split(",")
        sound = all(each) and len(set(each)) == len(each) and name not in options
        require(sound, "vary", text, "NAME=VALUE,VALUE,..., each option and value once")
        require_one_of("vary", name, _OPTIONS)
        options[name] = [(name.replace("_", "-"), value) for value in each]
    yield from product(*options.values())


def _directory(chosen: tuple[tuple[str, str], ...]) -> Path:
    """Where the runs of a combination are; the directory itself if nothing is varied."""
    return Path(",".join(f"{name}={value.replace('/', '_')}" for name, value in chosen))
