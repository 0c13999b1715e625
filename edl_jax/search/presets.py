"""A whole search as options, and the named ones; nothing here imports JAX."""

from dataclasses import dataclass, fields
from typing import Any, Literal

from edl_jax.config import EvolutionConfig, ObjectiveConfig, RehearsalConfig
from edl_jax.errors import require, require_int
from edl_jax.files import Json
from edl_jax.runs.options import ClusterOptions


@dataclass(frozen=True)
class PretrainConfig(ClusterOptions, EvolutionConfig):
    """Evolve a classification loss on synthetic prediction-label pairs, without any data."""

    preset: Literal["base", "paper", "quick", "robust"] = "base"
    """Defaults of all other options: base (clean labels), paper (the paper's form: concat network,
    chaotic ES), quick (a look in seconds), robust (clean and noisy labels, by rehearsal)."""
    num_restarts: int = 1
    """Independent searches side by side; of several losses the one is kept whose small students,
    trained on synthetic tasks (see rehearsal), do best."""
    start: str | None = None
    """A loss to evolve further, shipped or of an earlier run, of the same network and width; by
    default a search starts from random weights."""
    seed: int = 0
    """Seed of initial weights, mutations and synthetic pairs."""
    seeds: tuple[int, ...] = ()
    """Several seeds, a search for each, in directories seed-N of --output-dir. The same command
    again runs what is missing."""
    vary: tuple[str, ...] = ()
    """Options to sweep over, each as NAME=VALUE,VALUE: a search for every combination and seed."""

    def __post_init__(self) -> None:
        ClusterOptions.__post_init__(self)
        EvolutionConfig.__post_init__(self)
        require_int("num_restarts", self.num_restarts, 1, 1000)
        for seed in (self.seed, *self.seeds):
            require_int("seed", seed, 0, 2**31 - 1)
        distinct = len(set(self.seeds)) == len(self.seeds)
        require(distinct, "seeds", " ".join(map(str, self.seeds)), "each seed once")

    def recorded(self) -> Json:
        """The options that decide the outcome of one search: of several seeds, its own."""
        return {k: v for k, v in super().recorded().items() if k not in ("seeds", "vary")}


# Ranking is the prior, at several numbers of classes; what counts is rehearsal.
_REHEARSED: Any = {
    "network": "monotone",
    "width": 3,
    "population_size": 16,
    "batch_size": 512,
    "more_classes": (2, 100, 1000),
    "step_size": 0.3,
    "final_step_size": 0.06,
    "objective": ObjectiveConfig(clean_ranking=0.1, proper_ranking=0.0, rehearsal=10.0),
}
PRESETS: dict[str, PretrainConfig] = {
    "base": PretrainConfig(),
    "quick": PretrainConfig(
        preset="quick", population_size=32, num_generations=200, batch_size=512
    ),
    "paper": PretrainConfig(
        preset="paper",
        network="concat",
        mutation="chaotic",
        num_generations=1500,
        width=32,
        objective=ObjectiveConfig(proper_ranking=0.0, margin=0.1),
    ),
    "robust": PretrainConfig(
        preset="robust",
        **_REHEARSED,
        num_generations=40,
        rehearsal=RehearsalConfig(
            regimes=(
                "middle_clean",
                "long_noisy",
                "hard_clean",
                "hard_noisy",
                "adam_noisy",
                "two_noisy",
                "many_clean",
                "many_noisy",
            ),
            num_tasks=2,
        ),
    ),
}


def evolution_config(config: PretrainConfig) -> EvolutionConfig:
    """The search that a command line describes, without what only the command needs."""
    return EvolutionConfig(**{f.name: getattr(config, f.name) for f in fields(EvolutionConfig)})
