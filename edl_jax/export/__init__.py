"""Export: a loss for other programs, as StableHLO, as a PyTorch module, or as an ONNX graph.

``python -m edl_jax.export`` is its command line; ``export.onnx_graph`` needs the package onnx.
Names are resolved on first use, so that the command checks its options without JAX.
"""

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from edl_jax.export.pytorch import to_torch as to_torch
    from edl_jax.export.stablehlo import to_stablehlo as to_stablehlo

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__, submod_attrs={"pytorch": ["to_torch"], "stablehlo": ["to_stablehlo"]}
)
