"""Report: one page about finished runs that needs nothing but a browser.

``render(read_runs(paths))`` is its HTML; ``python -m edl_jax.report`` is its command line.
Names are resolved on first use, so that runs are checked without JAX and Plotly.
"""

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from edl_jax.report.page import render as render
    from edl_jax.report.runs import PretrainRun as PretrainRun
    from edl_jax.report.runs import TransferRun as TransferRun
    from edl_jax.report.runs import read_runs as read_runs

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={"page": ["render"], "runs": ["PretrainRun", "TransferRun", "read_runs"]},
)
