"""Runs: a directory for each, with its options, metrics, checkpoints and event files.

A run that is stopped can be resumed; nothing that a directory holds is taken on trust.
"""

from edl_jax.runs.directory import RunDirectory, is_finished
from edl_jax.runs.interrupts import Stopped, StopRequest
from edl_jax.runs.options import ClusterOptions, RunOptions

__all__ = [
    "ClusterOptions",
    "RunDirectory",
    "RunOptions",
    "StopRequest",
    "Stopped",
    "is_finished",
]
