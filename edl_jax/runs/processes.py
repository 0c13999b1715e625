"""One run over several processes, on one host or many, by ``jax.distributed``.

All processes compute the same program, each on its part of the population. The first one owns the
run directory and the terminal.
"""

import contextlib
import os
import sys
import threading
import zlib
from collections.abc import Iterator

import jax
import numpy as np
from jax.experimental import multihost_utils

from edl_jax.errors import EdlError, one_line
from edl_jax.runs.interrupts import StopRequest
from edl_jax.runs.options import ClusterOptions

# How long the processes look for each other.
_MEET_WITHIN_S = 300
# A process that is killed says nothing; the others end when they have not heard of it so long.
_DEAD_AFTER_S = 20
_FROM_CLUSTER = (
    "expected --coordinator-address, --num-processes and --process-id, or a cluster that says "
    "them (SLURM, Open MPI, Kubernetes)"
)


@contextlib.contextmanager
def processes(options: ClusterOptions) -> Iterator[bool]:
    """Join the run's processes; gives whether this is the first of them.

    What is not said in ``options`` is asked of the cluster's environment.

    Raises:
      EdlError: neither says it, or the processes do not find each other.
    """
    # SIGTERM is ours, see stop_together.
    jax.config.update("jax_enable_preemption_service", False)
    # JAX would abort the process, with a dump of its stack, rather than raise an error.
    patience = threading.Timer(_MEET_WITHIN_S, _give_up)
    patience.daemon = True
    patience.start()
    try:
        jax.distributed.initialize(
            options.coordinator_address,
            options.num_processes,
            options.process_id,
            initialization_timeout=2 * _MEET_WITHIN_S,
            heartbeat_timeout_seconds=_DEAD_AFTER_S,
            shutdown_timeout_seconds=_DEAD_AFTER_S,
        )
    except ValueError as error:
        raise EdlError(f"--distributed: {_FROM_CLUSTER} ({one_line(error)})") from None
    except RuntimeError as error:
        raise EdlError(
            f"--distributed: the processes did not find each other: {one_line(error)}"
        ) from None
    finally:
        patience.cancel()
    try:
        yield jax.process_index() == 0
    finally:
        with contextlib.suppress(RuntimeError):  # others may have ended, and have said why
            jax.distributed.shutdown()


def all_ready(ready: bool = True) -> bool:
    """Whether every process is ready; each of them must ask, and waits for the others."""
    return min(_of_all(int(ready))) == 1


def same_for_all(text: str) -> bool:
    """Whether every process has the same ``text``; each of them must ask."""
    return len(set(_of_all(zlib.crc32(text.encode()) >> 1))) == 1


def stop_together(stop: StopRequest, line: str) -> None:
    """End all processes here if any of them was asked to stop; each of them must ask.

    Raises:
      Stopped: one of them was.
    """
    stop.signal = max(_of_all(stop.signal or 0)) or None
    if stop.signal is not None:
        stop.end(line)


def _of_all(value: int) -> list[int]:
    return multihost_utils.process_allgather(np.array(value)).ravel().tolist()


def _give_up() -> None:
    line = f"the processes did not find each other within {_MEET_WITHIN_S} seconds"
    print(f"error: --distributed: {line}", file=sys.stderr, flush=True)
    os._exit(2)
