"""Versions and devices that a result was made with."""

import importlib.metadata
import platform

import jax

from edl_jax.files import Json

PACKAGES = ("edl_jax", "jax", "jaxlib", "flax", "optax", "evosax", "numpy")


def environment() -> Json:
    """Versions of Python and :data:`PACKAGES`, kind and number of devices; JSON-serialisable.

    >>> environment()["jax"] == jax.__version__
    True
    """
    return {
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in PACKAGES},
        "device": jax.devices()[0].device_kind,
        "platform": jax.default_backend(),
        "num_devices": jax.device_count(),
    }
