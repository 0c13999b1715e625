"""The search: a population of losses evolved under one ``lax.scan``, on one device or many.

``evolve`` runs a whole search and freezes its loss; ``make_evolution`` gives its pure functions.
Names are resolved on first use, so that a command checks its options without JAX.
"""

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from edl_jax.search.engine import Evolution as Evolution
    from edl_jax.search.engine import EvolutionState as EvolutionState
    from edl_jax.search.engine import GenerationInfo as GenerationInfo
    from edl_jax.search.engine import make_evolution as make_evolution
    from edl_jax.search.engine import parallel_searches as parallel_searches
    from edl_jax.search.layout import Layout as Layout
    from edl_jax.search.layout import make_layout as make_layout
    from edl_jax.search.pipeline import Chunk as Chunk
    from edl_jax.search.pipeline import Evolved as Evolved
    from edl_jax.search.pipeline import evolve as evolve
    from edl_jax.search.presets import PRESETS as PRESETS

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "engine": [
            "Evolution",
            "EvolutionState",
            "GenerationInfo",
            "make_evolution",
            "parallel_searches",
        ],
        "layout": ["Layout", "make_layout"],
        "pipeline": ["Chunk", "Evolved", "evolve"],
        "presets": ["PRESETS"],
    },
)
