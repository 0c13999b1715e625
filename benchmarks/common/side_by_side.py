"""Parts of a benchmark in processes of their own, each on its share of the processors."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, wait
from multiprocessing import get_context
from multiprocessing.sharedctypes import Synchronized

from edl_jax.runs.output import progress_bar


def run_side_by_side(
    jobs: int,
    parts: Sequence[Callable[[], object]],
    done: Callable[[], int],
    total: int,
    unit: str,
    note: str = "",
) -> None:
    """Run all ``parts``, ``jobs`` at a time, and show how much is done.

    Args:
      jobs: parts that run at the same time.
      parts: picklable functions; they must not live in a ``__main__``.
      done: how many units of work are done, asked every other second.
      total: how many there are.
      unit: what they are called, a second.
      note: shown beside the bar.
    """
    spawn = get_context("spawn")
    arguments = (spawn.Value("i", 0), jobs)
    with (
        progress_bar(f"{unit}/s") as progress,
        ProcessPoolExecutor(jobs, spawn, _share_processors, arguments) as pool,
    ):
        task = progress.add_task(note, total=total)
        pending: set[Future[object]] = {pool.submit(part) for part in parts}
        while pending:
            finished, pending = wait(pending, timeout=2.0, return_when="FIRST_EXCEPTION")
            for future in finished:
                future.result()
            progress.update(task, completed=min(done(), total))
        progress.update(task, completed=total)


def _share_processors(share: "Synchronized[int]", jobs: int) -> None:
    """Give this worker its own processors, before XLA sizes its thread pool by them."""
    with share.get_lock():
        index, share.value = share.value, share.value + 1
    available = sorted(os.sched_getaffinity(0))
    own = available[index % len(available) :: jobs] or available
    os.sched_setaffinity(0, own)
