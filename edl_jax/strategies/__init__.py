"""Strategies: how a search asks for candidates, and what it learns from their fitness.

``STRATEGIES`` names them. Mutation operators and step-size rules are parts that ``es`` is made of.
"""

from edl_jax.strategies.base import Strategy, keep_state, on_pytrees
from edl_jax.strategies.chaotic_evolution import chaotic_evolution
from edl_jax.strategies.es import es
from edl_jax.strategies.evosax import from_evosax
from edl_jax.strategies.gradient import gradient
from edl_jax.strategies.ingredients import Ingredients
from edl_jax.strategies.mutation import Mutation, make_mutation
from edl_jax.strategies.registry import STRATEGIES, make_strategy
from edl_jax.strategies.stagnation import restarting
from edl_jax.strategies.step_size import StepSizeControl, make_control

__all__ = [
    "STRATEGIES",
    "Ingredients",
    "Mutation",
    "StepSizeControl",
    "Strategy",
    "chaotic_evolution",
    "es",
    "from_evosax",
    "gradient",
    "keep_state",
    "make_control",
    "make_mutation",
    "make_strategy",
    "on_pytrees",
    "restarting",
]
