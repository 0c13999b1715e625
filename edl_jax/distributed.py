"""One run over several processes, on one host or many, by ``jax.distributed``.

All processes compute the same program, each on its part of the population. The first one owns the
run directory and the terminal.
"""

import contextlib
from collections.abc import Iterator

from edl_jax.config import ClusterOptions
from edl_jax.errors import EdlError

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
    import jax

    # It would take SIGTERM for itself; without a checkpoint there is nothing to end orderly.
    jax.config.update("jax_enable_preemption_service", False)
    try:
        jax.distributed.initialize(
            options.coordinator_address, options.num_processes, options.process_id
        )
    except ValueError as error:
        raise EdlError(f"--distributed: {_FROM_CLUSTER} ({_line(error)})") from None
    except RuntimeError as error:
        raise EdlError(
            f"--distributed: the processes did not find each other: {_line(error)}"
        ) from None
    try:
        yield jax.process_index() == 0
    finally:
        with contextlib.suppress(RuntimeError):  # others may have ended, and have said why
            jax.distributed.shutdown()


def all_ready(ready: bool) -> bool:
    """Whether every process is ready; each of them must ask."""
    import numpy as np
    from jax.experimental import multihost_utils

    return bool(np.all(multihost_utils.process_allgather(np.array(ready))))


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
