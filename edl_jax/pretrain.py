"""Evolve a classification loss on synthetic prediction-label pairs, without any data.

The run directory then holds the loss (loss.npz), config.json, metrics.jsonl, summary.json,
convergence.png and loss_shape.png. Use it with edl_jax.load_loss(RUN_DIRECTORY).
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any, Literal, NamedTuple

from edl_jax import checkpoint, cli
from edl_jax.config import ClusterOptions, EvolutionConfig, ObjectiveConfig
from edl_jax.errors import EdlError, require
from edl_jax.interrupts import StopRequest
from edl_jax.runs import RunDirectory, is_finished

PROG = "python -m edl_jax.pretrain"


@dataclass(frozen=True)
class PretrainConfig(ClusterOptions, EvolutionConfig):
    """Evolve a classification loss on synthetic prediction-label pairs, without any data."""

    preset: Literal["base", "paper", "quick", "robust"] = "base"
    """Defaults of all other options: base (clean labels), paper (the paper's form: concat network,
    chaotic ES), quick (a look in seconds), robust (noisy labels)."""
    num_restarts: int = 1
    """Independent searches side by side; of several losses the one is kept whose small students,
    trained on synthetic tasks with clean and with noisy labels, do best."""
    seed: int = 0
    """Seed of initial weights, mutations and synthetic pairs."""

    def __post_init__(self) -> None:
        ClusterOptions.__post_init__(self)
        EvolutionConfig.__post_init__(self)
        restarts = self.num_restarts
        require(1 <= restarts <= 1000, "num_restarts", restarts, "a whole number from 1 to 1,000")
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
        num_restarts=8,
        objective=ObjectiveConfig(
            noisy_ranking=8.0, trainability=1.0, label_noise=0.8, margin=0.002
        ),
    ),
}


class Chunk(NamedTuple):
    """What is known after some generations.

    Attributes:
      generation: generations done.
      info: :class:`edl_jax.engine.GenerationInfo` of the generations since the last chunk, as
        NumPy arrays with a leading axis of generations.
      discordance: held-out discordance of the loss as it stands, the lowest of several searches.
      state: :class:`edl_jax.engine.EvolutionState`, to go on from.
    """

    generation: int
    info: Any
    discordance: float
    state: Any


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
    restore: Callable[[Any], Any | None] = lambda state: None,
    num_restarts: int = 1,
    on_stage: Callable[[str], None] = lambda stage: None,
) -> Pretrained:
    """Evolve a loss and freeze it.

    Args:
      config: the search.
      seed: of initial weights, mutations and synthetic pairs.
      on_chunk: called with what is known, every some generations.
      provenance: goes into the loss beside the figures.
      restore: given the state that the search begins with, the one of some :class:`Chunk` to go on
        from instead, or None.
      num_restarts: independent searches; the loss that :func:`edl_jax.rehearsal.rehearse` finds
        the most accurate students for is kept.
      on_stage: called with a word on what begins after the search.

    Returns:
      The loss, its scale fixed, and its figures on fresh held-out pairs.

    Raises:
      EdlError: ``restore`` gave a state that no chunk of this search ends with, or what was evolved
        does not descend as far as cross-entropy.
    """
    import jax
    import jax.numpy as jnp

    from edl_jax.analysis import PROFILE_POINTS, loss_profile
    from edl_jax.engine import make_evolution, with_restarts
    from edl_jax.networks import NetworkSpec
    from edl_jax.objectives import held_out

    evolution = with_restarts(make_evolution(config), num_restarts)
    init_key, monitor_key, final_key = jax.random.split(jax.random.key(seed), 3)

    @jax.jit
    def agreement(params: Any, key: jax.Array) -> Any:
        return held_out(partial(evolution.network.apply, params), key, config)

    def searches(state: Any) -> list[Any]:
        # On the host: what follows is small, and every process does it for itself.
        params = jax.device_get(evolution.params(state))
        if num_restarts == 1:
            return [params]
        return [jax.tree.map(lambda leaf, i=i: leaf[i], params) for i in range(num_restarts)]

    state, generation = evolution.init(init_key), 0
    restored = restore(state)
    state, done = (state, 0) if restored is None else (restored, int(restored.generation))
    for size in chunk_sizes(config.num_generations):
        generation += size
        if generation <= done:
            continue
        if generation - size != int(state.generation):
            raise EdlError(f"checkpoint of generation {done}: expected one at the end of a chunk")
        state, info = evolution.run(state, size)
        now = min(float(agreement(p, monitor_key).discordance) for p in searches(state))
        on_chunk(Chunk(generation, jax.device_get(info), now, state))

    spec = NetworkSpec(config.network, config.width, config.num_classes)
    frozen, rehearsed = _freeze(spec, searches(state), on_stage)
    final = agreement(frozen.params, final_key)
    _, gradients = loss_profile(frozen, PROFILE_POINTS, config.num_classes)
    figures = {
        "held_out_discordance": float(final.discordance),
        "held_out_tau": float(final.tau),
        "scale": float(frozen.scale),
        "logit_gradient": dict(zip(map(str, PROFILE_POINTS), gradients.tolist(), strict=True)),
        "cross_entropy_logit_gradient": {str(p): p - 1 for p in PROFILE_POINTS},
        **rehearsed,
    }
    loss = replace(frozen, provenance_json=_json({**(provenance or {}), "figures": figures}))
    return Pretrained(jax.tree.map(jnp.asarray, loss), figures)


def _freeze(
    spec: Any, candidates: list[Any], on_stage: Callable[[str], None]
) -> tuple[Any, dict[str, Any]]:
    """One candidate as a loss; of several the one that rehearses best, and their scores."""
    from edl_jax.losses import make_learned_loss
    from edl_jax.rehearsal import rehearse

    if len(candidates) == 1:
        return make_learned_loss(spec, candidates[0]), {}
    losses, failure = [], None
    for params in candidates:
        try:
            losses.append(make_learned_loss(spec, params))
        except EdlError as error:
            failure = error
    if not losses:
        raise failure or EdlError("nothing was evolved")
    scores = []
    for i, loss in enumerate(losses):
        on_stage(f"rehearsing loss {i + 1} of {len(losses)}")
        scores.append(float(rehearse(loss).mean()))
    return losses[scores.index(max(scores))], {"rehearsed_accuracies": scores}


def _json(content: dict[str, Any]) -> str:
    import json

    return json.dumps(content, sort_keys=True)


def evolution_config(config: PretrainConfig) -> EvolutionConfig:
    """The search that a command line describes, without what only the command needs."""
    return EvolutionConfig(**{f.name: getattr(config, f.name) for f in fields(EvolutionConfig)})


def command(args: list[str] | None = None) -> None:
    """Run the command line ``args``."""
    config = cli.parse(PretrainConfig, args, prog=PROG, presets=PRESETS)
    if config.resume and config.output_dir and is_finished(config.output_dir):
        print(f"{config.output_dir}: this run is finished, there is nothing to go on with")
        return
    if config.distributed:
        _distributed(config)
    else:
        with _directory(config) as run, StopRequest() as stop:
            checkpoints = checkpoint.Checkpoints(run, config.checkpoint_every, stop)
            _run(config, run, lambda chunk: checkpoints.offer(chunk.state), checkpoints.restore)


def _directory(config: PretrainConfig) -> RunDirectory:
    return RunDirectory(
        config.output_dir,
        "pretrain",
        config.recorded(),
        resume=config.resume,
        overwrite=config.overwrite,
    )


def _distributed(config: PretrainConfig) -> None:
    """The run as one of several processes: all evolve, and the first one writes."""
    from edl_jax.distributed import all_ready, processes, stop_together

    with processes(config) as first, StopRequest() as stop:

        def on_chunk(chunk: Chunk) -> None:
            stop_together(stop, "a run of several processes writes no checkpoints")

        if first:
            try:
                run = _directory(config)
            except EdlError:
                all_ready(False)
                raise
            with run:
                all_ready()
                _run(config, run, on_chunk)
        elif all_ready():
            search = evolution_config(config)
            pretrain(search, config.seed, on_chunk, num_restarts=config.num_restarts)
        else:
            raise EdlError("the first process could not begin; it says why")
        all_ready()


def _run(
    config: PretrainConfig,
    run: RunDirectory,
    after_chunk: Callable[[Chunk], None],
    restore: Callable[[Any], Any | None] = lambda state: None,
) -> None:
    from rich.console import Console
    from rich.table import Table

    from edl_jax import plots, tensorboard
    from edl_jax.losses import ARTIFACT
    from edl_jax.runs import environment

    console = Console()
    console.print(f"Evolving [bold]{config.preset}[/], seed {config.seed}, into {run.path}")
    tensorboard.attach(run, config.tensorboard, step="generation")
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
                run.log(**row)
            best = float(chunk.info.best_fitness[-1])
            text = f"fitness {best:.4g}, discordance {chunk.discordance:.2%}"
            progress.update(task, completed=chunk.generation, description=text)
            after_chunk(chunk)

        provenance = {"config": config.recorded(), "environment": environment()}
        loss, figures = pretrain(
            evolution_config(config),
            config.seed,
            on_chunk,
            provenance,
            restore,
            config.num_restarts,
            lambda stage: progress.update(task, description=stage),
        )

    loss.save(run.path / ARTIFACT)
    history = thinned(run.history(), config.num_generations)
    plots.convergence(list(history), run.path / "convergence.png")
    plots.loss_shape({"evolved": loss}, run.path / "loss_shape.png", config.num_classes)
    failures = count_failures(run.history(), config.num_restarts * config.population_size)
    summary = run.finish(seed=config.seed, **figures, **failures)
    checkpoint.remove(run.path)

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
    if failures["failed_candidates"]:
        console.print(
            "Fitness was not finite for {failed_candidates:,} candidates; in {failed_generations:,}"
            " generations for all of them, and the search stayed where it was.".format(**failures)
        )
    console.print(f'Use it: loss = edl_jax.load_loss("{run.path}")')
    print(f"See it: {run.report_command}")


def thinned(
    history: Iterable[dict[str, Any]], num_generations: int, most: int = 2000
) -> Iterator[dict[str, Any]]:
    """Rows of ``metrics.jsonl`` spread evenly over a search: ``most`` of each kind at the most.

    The kinds are those with and those without a held-out figure.

    >>> rows = ({"generation": i} for i in range(1, 101))
    >>> [row["generation"] for row in thinned(rows, 100, most=4)]
    [1, 25, 50, 75, 100]
    """
    last: dict[bool, int] = {}
    for row in history:
        kind, place = "held_out_discordance" in row, row["generation"] * most // num_generations
        if last.get(kind) != place:
            last[kind] = place
            yield row


def count_failures(history: Iterable[dict[str, Any]], num_candidates: int) -> dict[str, int]:
    """How many candidates had no finite fitness, and in how many generations none had one."""
    failed = [row["num_failed"] for row in history if row["num_failed"]]
    return {
        "failed_candidates": sum(failed),
        "failed_generations": failed.count(num_candidates),
    }


def _finite(value: Any) -> float | None:
    import math

    return float(value) if math.isfinite(value) else None


if __name__ == "__main__":
    cli.main(command)
