"""Settings that a command makes before JAX starts; those in the user's environment stay."""

import contextlib
import logging
import os
import re
import sys
import warnings
from pathlib import Path
from typing import Any

_CACHE_BYTES = 2**30
_MOST_DEVICES = 8


def cache_dir() -> Path | None:
    """Where what can be made again is kept: ``$XDG_CACHE_HOME/edl_jax`` or ``~/.cache/edl_jax``.

    None where the user has no home.
    """
    place = os.environ.get("XDG_CACHE_HOME")
    try:
        return (Path(place) if place else Path.home() / ".cache") / "edl_jax"
    except RuntimeError:
        return None


def settle_home() -> None:
    """Where a user has no home, as in a container, say one for the libraries that ask for it.

    Nothing can be kept in it, so that each of them does without.
    """
    try:
        Path.home()
    except RuntimeError:
        os.environ["HOME"] = os.devnull
        logging.getLogger("matplotlib").setLevel(logging.ERROR)  # it would tell where it keeps what


def keep_compilations() -> None:
    """Let JAX keep what it compiles, so that the next run begins at once.

    ``JAX_COMPILATION_CACHE_DIR`` puts it elsewhere and ``JAX_ENABLE_COMPILATION_CACHE=0`` does
    without. Nothing happens where there is no directory for it, or it cannot be written. An entry
    that turns out to be damaged is compiled and written again.
    """
    home = cache_dir()
    if "JAX_COMPILATION_CACHE_DIR" in os.environ or "jax" in sys.modules or home is None:
        return
    path = home / "compilations"
    with contextlib.suppress(OSError):
        path.mkdir(parents=True, exist_ok=True)
    if os.access(path, os.W_OK):
        os.environ["JAX_COMPILATION_CACHE_DIR"] = str(path)
        os.environ.setdefault("JAX_COMPILATION_CACHE_MAX_SIZE", str(_CACHE_BYTES))
        os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.1")
        _replace_damaged(path)


def _replace_damaged(path: Path) -> None:
    """Remove what JAX cannot read in the cache at ``path``, when it says so.

    JAX compiles the program again then, but writes only what is not there. Its warning names the
    program and not the entry, so that all entries of the program go.
    """
    show = warnings.showwarning

    def removing(message: Warning | str, *rest: Any, **named: Any) -> None:
        damaged = re.search(r"Error reading persistent .* entry for '([^']+)'", str(message))
        if damaged is None:
            show(message, *rest, **named)
            return
        for entry in path.glob(f"{damaged[1]}-*"):
            with contextlib.suppress(OSError):
                entry.unlink()

    warnings.showwarning = removing


def num_processors() -> int:
    """Processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # not everywhere
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def split_processors() -> None:
    """Make a device of each processor, eight at the most, for a population or a batch to share.

    XLA runs most of a program's small operations on one core; as devices all of them are busy. A
    device's own operations then use one thread: those of a pool that all devices share could hold
    what another device waits for. ``JAX_NUM_CPU_DEVICES`` or ``XLA_FLAGS`` that are set stay as
    they are. Accelerators are not concerned.
    """
    settled = {"JAX_NUM_CPU_DEVICES", "XLA_FLAGS"} & os.environ.keys()
    number = min(_MOST_DEVICES, num_processors())
    if settled or "jax" in sys.modules or number == 1:
        return
    os.environ["JAX_NUM_CPU_DEVICES"] = str(number)
    os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"
