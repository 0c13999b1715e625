"""What a command settles before JAX starts; what the user has settled in the environment stays."""

import contextlib
import os
import sys
from pathlib import Path

_CACHE_BYTES = 2**30


def cache_dir() -> Path:
    """Where what can be made again is kept: ``$XDG_CACHE_HOME/edl_jax`` or ``~/.cache/edl_jax``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edl_jax"


def keep_compilations() -> None:
    """Let JAX keep what it compiles, so that the next run begins at once.

    ``JAX_COMPILATION_CACHE_DIR`` puts it elsewhere and ``JAX_ENABLE_COMPILATION_CACHE=0`` does
    without. Nothing happens where the directory cannot be written.
    """
    if "JAX_COMPILATION_CACHE_DIR" in os.environ or "jax" in sys.modules:
        return
    path = cache_dir() / "compilations"
    with contextlib.suppress(OSError):
        path.mkdir(parents=True, exist_ok=True)
    if os.access(path, os.W_OK):
        os.environ["JAX_COMPILATION_CACHE_DIR"] = str(path)
        os.environ.setdefault("JAX_COMPILATION_CACHE_MAX_SIZE", str(_CACHE_BYTES))
        os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.1")
