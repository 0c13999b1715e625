"""Evolve a classification loss on synthetic prediction-label pairs, without any data.

The run directory then holds the loss (loss.npz), config.json, metrics.jsonl, summary.json,
convergence.png and loss_shape.png. Use it with edl_jax.load_loss(RUN_DIRECTORY).
"""

import contextlib
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from edl_jax import cli
from edl_jax.config import EvolutionConfig
from edl_jax.errors import EdlError, one_line
from edl_jax.files import path_exists, user_path
from edl_jax.parts import digest, is_own, pinned, relative_to
from edl_jax.runs.directory import (
    RunDirectory,
    is_finished,
    require_same_sources,
    working_dir,
)
from edl_jax.runs.interrupts import StopRequest
from edl_jax.runs.output import progress_bar, show
from edl_jax.search.presets import PRESETS, PretrainConfig, evolution_config
from edl_jax.startup import split_processors

if TYPE_CHECKING:
    from edl_jax.losses.learned import LearnedLoss
    from edl_jax.search.engine import EvolutionState
    from edl_jax.search.pipeline import Chunk, Evolved

PROG = "python -m edl_jax.pretrain"


def command(args: list[str] | None = None) -> None:
    """Run the command line ``args``."""
    config = cli.parse(PretrainConfig, args, prog=PROG, presets=PRESETS)
    if config.seeds or config.vary:
        _sweep(config)
    else:
        _one(config)


def _sweep(config: PretrainConfig) -> None:
    """A search for each seed and combination of options, one after another."""
    from edl_jax.search import sweep

    runs, failed = sweep.runs(config, PROG), []
    for one in runs:  # of all, before the first one takes an hour
        if one.resume and one.output_dir:
            with relative_to(working_dir(one.output_dir)):
                require_same_sources(one.output_dir, own_files(one))
    for i, one in enumerate(runs, 1):
        print(f"Search {i} of {len(runs)}", flush=True)
        try:
            _one(one)
        except (EdlError, MemoryError) as error:
            failed.append(f"{one.output_dir}: {one_line(error)}")
            print(failed[-1], flush=True)
    if failed:
        raise EdlError(f"{len(failed)} of {len(runs)} searches failed; the first, {failed[0]}")
    print(f'Their rows: edl_jax.read_runs("{config.output_dir}")')


def _one(config: PretrainConfig) -> None:
    if config.resume and config.output_dir and is_finished(config.output_dir):
        from edl_jax.runs import checkpoint

        checkpoint.remove(config.output_dir)  # a kill may have hit between result and tidying up
        print(f"{config.output_dir}: this run is finished, there is nothing to resume")
        return
    # Paths mean what they meant where the run began.
    begun = working_dir(config.output_dir) if config.resume and config.output_dir else Path()
    with relative_to(begun):
        files = own_files(config)
        if config.resume and config.output_dir:
            require_same_sources(config.output_dir, files)
        with pinned({name.partition(" ")[2]: sha256 for name, sha256 in files.items()}):
            if config.distributed:
                _distributed(config, files)
            else:
                split_processors()
                _alone(config, files, begun)


def own_files(config: PretrainConfig) -> dict[str, str]:
    """SHA-256 of the user's own files that take part, by ``option file.py:NAME``."""
    named = evolution_config(config).named_parts
    return {f"{o} {name}": digest(name, o) for o, name in named.items() if is_own(name)}


def _alone(config: PretrainConfig, files: Mapping[str, str], begun: Path) -> None:
    start = _start(config, begun)
    _say_cost(config)
    with _directory(config, files) as run, StopRequest() as stop:
        from edl_jax.runs.checkpoint import Checkpoints

        checkpoints = Checkpoints(run, config.checkpoint_every, stop)
        _run(
            config,
            run,
            start,
            lambda chunk: checkpoints.offer(chunk.state),
            checkpoints.restore,
        )


def _directory(config: PretrainConfig, files: Mapping[str, str]) -> RunDirectory:
    return RunDirectory(
        config.output_dir,
        "pretrain",
        config.recorded(),
        resume=config.resume,
        overwrite=config.overwrite,
        sources=files,
    )


def _start(config: PretrainConfig, begun: Path = Path()) -> "LearnedLoss | None":
    """The loss to evolve further."""
    if config.start is None:
        return None
    from edl_jax.losses.artifact import NAMES
    from edl_jax.losses.loading import load_learned_loss
    from edl_jax.losses.networks import network_spec
    from edl_jax.search.pipeline import require_start

    there = begun / user_path(config.start)
    named = config.start in NAMES or not path_exists(there)
    loss = load_learned_loss(config.start if named else there)
    spec = network_spec(config.network, config.width, config.num_classes)
    require_start(loss, spec, config.start)
    return loss


def _say_cost(config: PretrainConfig, say: bool = True) -> None:
    """Refuse what only the parts themselves know to be wrong, and say what the search costs."""
    from edl_jax.search.chosen import quadratic_cost

    said = quadratic_cost(evolution_config(config))
    if said and say:
        print(said, flush=True)


def _distributed(config: PretrainConfig, files: Mapping[str, str]) -> None:
    """The run as one of several processes: all evolve, and the first one writes."""
    from edl_jax.runs.processes import all_ready, processes, same_for_all, stop_together

    with processes(config) as first, StopRequest() as stop, contextlib.ExitStack() as entered:
        # To import evosax starts JAX, which the processes must not do before they have met.
        from edl_jax.search.pipeline import evolve

        def on_chunk(chunk: "Chunk") -> None:
            stop_together(stop, "a run of several processes writes no checkpoints")

        try:
            start = _start(config)
            _say_cost(config, say=first)
            run = entered.enter_context(_directory(config, files)) if first else None
        except EdlError:
            all_ready(False)
            raise
        if not all_ready():
            raise EdlError("another process could not begin; it says why")
        if not same_for_all(json.dumps(files, sort_keys=True)):
            raise EdlError(f"files of your own ({', '.join(files)}): expected the same everywhere")
        if run is not None:
            _run(config, run, start, on_chunk)
        else:
            evolve(
                evolution_config(config),
                config.seed,
                num_searches=config.num_restarts,
                start=start,
                on_chunk=on_chunk,
            )
        all_ready()


def _run(
    config: PretrainConfig,
    run: RunDirectory,
    start: "LearnedLoss | None",
    after_chunk: Callable[["Chunk"], None],
    restore: Callable[["EvolutionState"], "EvolutionState | None"] = lambda state: None,
) -> None:
    from rich.table import Table

    from edl_jax import plots
    from edl_jax.losses.artifact import ARTIFACT
    from edl_jax.losses.context import at_stages
    from edl_jax.runs import checkpoint, tensorboard
    from edl_jax.runs.environment import environment
    from edl_jax.runs.history import count_failures, thinned
    from edl_jax.search import front
    from edl_jax.search.pipeline import evolve

    print(f"Evolving {config.preset}, seed {config.seed}, into {run.path}", flush=True)
    tensorboard.attach(run, config.tensorboard, step="generation")
    with progress_bar("generations/s") as progress:
        task = progress.add_task("starting", total=config.num_generations)

        def on_chunk(chunk: "Chunk") -> None:
            for row in chunk.rows():
                run.log(**row)
            best = float(chunk.info.best_fitness[-1])
            text = f"fitness {best:.4g}, discordance {chunk.discordance:.2%}"
            if chunk.gains:
                text += ", gains " + " ".join(f"{100 * g:+.1f}" for g in chunk.gains.values())
            progress.update(task, completed=chunk.generation, description=text)
            after_chunk(chunk)

        provenance = {"config": config.recorded(), "environment": environment()}
        loss, figures, members = evolve(
            evolution_config(config),
            config.seed,
            num_searches=config.num_restarts,
            start=start,
            on_chunk=on_chunk,
            on_stage=lambda stage: progress.update(task, description=stage),
            restore=restore,
            provenance=provenance,
        )

    loss.save(run.path / ARTIFACT)
    if members:
        front.write(run.path, members)
    history = thinned(run.history(), config.num_generations)
    plots.convergence(list(history), run.path / "convergence.png")
    plots.loss_shape(at_stages({"evolved": loss}), run.path / "loss_shape.png", config.num_classes)
    failures = count_failures(run.history(), config.num_restarts * config.population_size)
    summary = run.finish(environment(), seed=config.seed, **figures, **failures)
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
    show(table)
    if failures["failed_candidates"]:
        print(
            "Fitness was not finite for {failed_candidates:,} candidates; in {failed_generations:,}"
            " generations for all of them, and the search stayed where it was.".format(**failures)
        )
    if members:
        print(f"The front: {len(members)} losses, {run.path / 'front' / '0'} and on")
    print(f'Use it: loss = edl_jax.load_loss("{run.path}")')
    print(f"See it: {run.report_command}")


class _Callable(ModuleType):
    """This module as Python users call it: ``edl_jax.pretrain(config)`` is a whole search."""

    def __call__(self, config: EvolutionConfig, seed: int = 0, **options: Any) -> "Evolved":
        """See :func:`edl_jax.search.pipeline.evolve`."""
        from edl_jax.search.pipeline import evolve

        return evolve(config, seed, **options)


sys.modules[__name__].__class__ = _Callable

if __name__ == "__main__":
    cli.main(command)
