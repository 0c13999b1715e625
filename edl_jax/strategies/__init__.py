"""Strategies: how a search asks for candidates, and what it learns from their fitness.

``STRATEGIES`` names them. Mutation operators and step-size rules are parts that ``ES`` is made of.
"""

from edl_jax.strategies.mutation import Mutation, make_mutation
from edl_jax.strategies.registry import STRATEGIES, make_strategy
from edl_jax.strategies.step_size import SCHEDULES, StepSizeControl, make_control

__all__ = [
    "SCHEDULES",
    "STRATEGIES",
    "Mutation",
    "StepSizeControl",
    "make_control",
    "make_mutation",
    "make_strategy",
]
