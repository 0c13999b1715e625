"""Suspects: which training labels look wrong to a classifier that a robust loss has trained.

``python -m edl_jax.suspects`` ranks the training examples of a run of ``transfer --save-model``.
Names are resolved on first use, so that the command checks its options without JAX.
"""

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from edl_jax.suspects.ranking import Suspects as Suspects
    from edl_jax.suspects.ranking import rank_suspects as rank_suspects

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__, submod_attrs={"ranking": ["Suspects", "rank_suspects"]}
)
