"""Evolve a classification loss on synthetic prediction-label pairs, without any data.

The run directory then holds the loss (loss.npz), config.json, metrics.jsonl, summary.json,
convergence.png and loss_shape.png. Use it with edl_jax.load_loss(RUN_DIRECTORY).
"""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

from edl_jax import cli
from edl_jax.config import EvolutionConfig, ObjectiveConfig
from edl_jax.errors import require
from edl_jax.runs import RunDirectory

PROG = "python -m edl_jax.pretrain"


@dataclass(frozen=True)
class PretrainConfig(EvolutionConfig):
    """Evolve a classification loss on synthetic prediction-label pairs, without any data."""

    preset: Literal["base", "paper", "quick", "robust"] = "base"
    """Defaults of all other options: base (clean labels), paper (the paper's form: concat network,
    chaotic ES), quick (a look in seconds), robust (noisy labels)."""
    seed: int = 0
    """Seed of initial weights, mutations and synthetic pairs."""
    output_dir: Path | None = None
    """Directory of the run; runs/pretrain-DATE-TIME by default."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(0 <= self.seed < 2**31, "seed", self.seed, "a whole number from 0 to 2**31 - 1")


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
        population_size=32,
        num_generations=300,
        objective=ObjectiveConfig(
            noisy_ranking=4.0, trainability=1.0, label_noise=0.8, margin=0.02
        ),
    ),
}


class Chunk(NamedTuple):
    """What is known after some generations.

    Attributes:
      generation: generations done.
      info: :class:`edl_jax.engine.GenerationInfo` of the generations since the last chunk, as
        NumPy arrays with a leading axis of generations.
      discordance: held-out discordance of the loss as it stands.
    """

    generation: int
    info: Any
    discordance: float


class Pretrained(NamedTuple):
    """A finished search: the frozen loss, and the figures that were measured of it."""

    loss: Any
    figures: dict[str, Any]


def chunk_sizes(num_generations: int, longest: int = 50) -> Iterator[int]:
    """Split a search into equal chunks of at most ``longest`` generations, and a remainder.

    Equal chunks share one compilation; a number with a divisor close to ``longest`` needs no other.

    >>> list(chunk_sizes(90))
    [45, 45]
    """
    divisors = [d for d in range(1, longest + 1) if num_generations % d == 0]
    size = divisors[-1] if divisors[-1] >= min(longest // 2, num_generations) else longest
    for start in range(0, num_generations, size):
        yield min(size, num_generations - start)


def pretrain(
    config: EvolutionConfig,
    seed: int,
    on_chunk: Callable[[Chunk], None] = lambda chunk: None,
    provenance: dict[str, Any] | None = None,
) -> Pretrained:
    """Evolve a loss and freeze it.

    Args:
      config: the search.
      seed: of initial weights, mutations and synthetic pairs.
      on_chunk: called with what is known, every some generations.
      provenance: goes into the loss beside the figures.

    Returns:
      The loss, its scale fixed, and its figures on fresh held-out pairs.
    """
    import jax
    import jax.numpy as jnp

    from edl_jax.analysis import PROFILE_POINTS, loss_profile
    from edl_jax.engine import make_evolution
    from edl_jax.losses import make_learned_loss
    from edl_jax.networks import NetworkSpec
    from edl_jax.objectives import held_out

    evolution = make_evolution(config)
    init_key, monitor_key, final_key = jax.random.split(jax.random.key(seed), 3)

    @jax.jit
    def agreement(params: Any, key: jax.Array) -> Any:
        return held_out(partial(evolution.network.apply, params), key, config)

    state, generation = evolution.init(init_key), 0
    for size in chunk_sizes(config.num_generations):
        state, info = evolution.run(state, size)
        generation += size
        now = agreement(evolution.params(state), monitor_key)
        on_chunk(Chunk(generation, jax.device_get(info), float(now.discordance)))

    params = evolution.params(state)
    final = agreement(params, final_key)
    spec = NetworkSpec(config.network, config.width, config.num_classes)
    frozen = make_learned_loss(spec, params)
    _, gradients = loss_profile(frozen, PROFILE_POINTS, config.num_classes)
    figures = {
        "held_out_discordance": float(final.discordance),
        "held_out_tau": float(final.tau),
        "scale": float(frozen.scale),
        "logit_gradient": dict(zip(map(str, PROFILE_POINTS), gradients.tolist(), strict=True)),
        "cross_entropy_logit_gradient": {str(p): p - 1 for p in PROFILE_POINTS},
    }
    loss = replace(frozen, provenance_json=_json({**(provenance or {}), "figures": figures}))
    return Pretrained(jax.tree.map(jnp.asarray, loss), figures)


def _json(content: dict[str, Any]) -> str:
    import json

    return json.dumps(content, sort_keys=True)


def _jsonable(config: PretrainConfig) -> dict[str, Any]:
    content = asdict(config)
    content.pop("output_dir")
    return content


def evolution_config(config: PretrainConfig) -> EvolutionConfig:
    """The search that a command line describes, without what only the command needs."""
    return EvolutionConfig(**{f.name: getattr(config, f.name) for f in fields(EvolutionConfig)})


def command(args: list[str] | None = None) -> None:
    """Run the command line ``args``."""
    config = cli.parse(PretrainConfig, args, prog=PROG, presets=PRESETS)
    run = RunDirectory(config.output_dir, "pretrain", _jsonable(config))

    from rich.console import Console
    from rich.table import Table

    from edl_jax import plots
    from edl_jax.losses import ARTIFACT
    from edl_jax.runs import environment

    console = Console()
    console.print(f"Evolving [bold]{config.preset}[/], seed {config.seed}, into {run.path}")
    history: list[dict[str, Any]] = []
    with cli.progress("generations/s") as progress:
        task = progress.add_task("starting", total=config.num_generations)

        def on_chunk(chunk: Chunk) -> None:
            rows = len(chunk.info.best_fitness)
            for i in range(rows):
                row = {
                    "generation": chunk.generation - rows + i + 1,
                    "best_fitness": _finite(chunk.info.best_fitness[i]),
                    "mean_fitness": _finite(chunk.info.mean_fitness[i]),
                    "num_failed": int(chunk.info.num_failed[i]),
                    **{name: _finite(term[i]) for name, term in chunk.info.terms.items()},
                }
                if i == rows - 1:
                    row["held_out_discordance"] = chunk.discordance
                history.append(row)
                run.log(**row)
            text = f"fitness {history[-1]['best_fitness']:.4g}, discordance {chunk.discordance:.2%}"
            progress.update(task, completed=chunk.generation, description=text)

        provenance = {"config": _jsonable(config), "environment": environment()}
        loss, figures = pretrain(evolution_config(config), config.seed, on_chunk, provenance)

    loss.save(run.path / ARTIFACT)
    plots.convergence(history, run.path / "convergence.png")
    plots.loss_shape({"evolved": loss}, run.path / "loss_shape.png", config.num_classes)
    summary = run.finish(seed=config.seed, **figures)

    table = Table(title="What was evolved", title_justify="left")
    table.add_column("figure")
    table.add_column("evolved", justify="right")
    table.add_column("cross-entropy", justify="right")
    table.add_row("held-out discordance", f"{figures['held_out_discordance']:.3%}", "0.000%")
    table.add_row("held-out Kendall's tau", f"{figures['held_out_tau']:.4f}", "1.0000")
    for point, gradient in figures["logit_gradient"].items():
        reference = figures["cross_entropy_logit_gradient"][point]
        table.add_row(f"logit gradient at p_y = {point}", f"{gradient:.4f}", f"{reference:.4f}")
    table.add_row("wall time", f"{summary['wall_time_s']:.1f} s", "")
    console.print(table)
    console.print(f'Use it: loss = edl_jax.load_loss("{run.path}")')


def _finite(value: Any) -> float | None:
    import math

    return float(value) if math.isfinite(value) else None


if __name__ == "__main__":
    cli.main(command)
