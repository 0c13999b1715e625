"""Evolve a classification loss on synthetic prediction-label pairs, without any data.

The run directory then holds the loss (loss.npz), config.json, metrics.jsonl, summary.json,
convergence.png and loss_shape.png. Use it with edl_jax.load_loss(RUN_DIRECTORY).
"""

import sys
from collections.abc import Callable, Iterable, Iterator
from types import ModuleType
from typing import TYPE_CHECKING, Any

from edl_jax import cli
from edl_jax.config import EvolutionConfig
from edl_jax.errors import EdlError
from edl_jax.runs import checkpoint
from edl_jax.runs.directory import RunDirectory, is_finished
from edl_jax.runs.interrupts import StopRequest
from edl_jax.search.presets import PRESETS, PretrainConfig, evolution_config
from edl_jax.startup import split_processors

if TYPE_CHECKING:
    from edl_jax.search.pipeline import Chunk, Evolved

PROG = "python -m edl_jax.pretrain"


def command(args: list[str] | None = None) -> None:
    """Run the command line ``args``."""
    config = cli.parse(PretrainConfig, args, prog=PROG, presets=PRESETS)
    if config.resume and config.output_dir and is_finished(config.output_dir):
        print(f"{config.output_dir}: this run is finished, there is nothing to go on with")
        return
    if config.distributed:
        _distributed(config)
    else:
        split_processors()
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
    from edl_jax.runs.processes import all_ready, processes, stop_together
    from edl_jax.search.pipeline import evolve

    with processes(config) as first, StopRequest() as stop:

        def on_chunk(chunk: "Chunk") -> None:
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
            evolve(search, config.seed, num_searches=config.num_restarts, on_chunk=on_chunk)
        else:
            raise EdlError("the first process could not begin; it says why")
        all_ready()


def _run(
    config: PretrainConfig,
    run: RunDirectory,
    after_chunk: Callable[["Chunk"], None],
    restore: Callable[[Any], Any | None] = lambda state: None,
) -> None:
    from rich.console import Console
    from rich.table import Table

    from edl_jax import plots
    from edl_jax.losses.learned import ARTIFACT
    from edl_jax.runs import tensorboard
    from edl_jax.runs.directory import environment
    from edl_jax.search.pipeline import evolve

    console = Console()
    console.print(f"Evolving [bold]{config.preset}[/], seed {config.seed}, into {run.path}")
    tensorboard.attach(run, config.tensorboard, step="generation")
    with cli.progress("generations/s") as progress:
        task = progress.add_task("starting", total=config.num_generations)

        def on_chunk(chunk: "Chunk") -> None:
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
        loss, figures = evolve(
            evolution_config(config),
            config.seed,
            num_searches=config.num_restarts,
            on_chunk=on_chunk,
            on_stage=lambda stage: progress.update(task, description=stage),
            restore=restore,
            provenance=provenance,
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


class _Callable(ModuleType):
    """This module as Python users call it: ``edl_jax.pretrain(config)`` is a whole search."""

    def __call__(self, config: EvolutionConfig, seed: int = 0, **options: Any) -> "Evolved":
        """See :func:`edl_jax.search.pipeline.evolve`."""
        from edl_jax.search.pipeline import evolve

        return evolve(config, seed, **options)


sys.modules[__name__].__class__ = _Callable

if __name__ == "__main__":
    cli.main(command)
