"""The ingredients of a strategy, as a configuration says or in parts of one's own."""

from typing import NamedTuple, TypedDict, Unpack

from edl_jax import parts
from edl_jax.chaos.maps import ChaoticMap
from edl_jax.chaos.streams import Stream, make_stream
from edl_jax.config import STRATEGIES, EvolutionConfig
from edl_jax.errors import require
from edl_jax.strategies import mutation as mutations
from edl_jax.strategies import step_size
from edl_jax.strategies.mutation import Mutation, make_mutation
from edl_jax.strategies.step_size import StepSizeControl, make_control


class OwnIngredients(TypedDict, total=False):
    """Parts of your own, each in place of what the option of its name says.

    Attributes:
      mutation: the operator, or a function of the :class:`ChaosConfig` and its stream.
      schedule: the control of step sizes, or a function of
        :class:`~edl_jax.strategies.step_size.Sizes` and the stream.
      map: the chaotic map.
    """

    mutation: Mutation | mutations.Maker
    schedule: StepSizeControl | step_size.Maker
    map: ChaoticMap


class Ingredients(NamedTuple):
    """The ingredients that the maker of a strategy is given; it takes those that it needs.

    Attributes:
      config: the search: its population, its length, its step sizes.
      num_dims: numbers in a candidate.
      mutation: the operator of ``config.mutation``.
      control: the step sizes of ``config.schedule``.
      stream: the chaos of ``config.chaos``.
    """

    config: EvolutionConfig
    num_dims: int
    mutation: Mutation
    control: StepSizeControl
    stream: Stream


def make_ingredients(
    config: EvolutionConfig, num_dims: int, **own: Unpack[OwnIngredients]
) -> Ingredients:
    """The parts that ``config`` names, or those given in their place.

    Raises:
      OptionError: there is no such part, or the strategy does without.

    >>> ingredients = make_ingredients(EvolutionConfig(mutation="chaotic"), num_dims=3)
    >>> ingredients.num_dims, ingredients.stream.chaos.name
    (3, 'logistic')
    """
    can, chaos = STRATEGIES.get(config.strategy), config.chaos
    if can is not None:
        takes = {"mutation": can.takes_mutation, "schedule": can.adapts_to_selection}
        for option in takes.keys() & own.keys():
            given = parts.shown(own[option])  # type: ignore[literal-required]
            require(takes[option], option, given, f"none with strategy {config.strategy}")
    stream = make_stream(own.get("map", chaos.map), chaos.dynamics, chaos.orbits)
    return Ingredients(
        config,
        num_dims,
        make_mutation(own.get("mutation", config.mutation), chaos, stream),
        make_control(
            own.get("schedule", config.schedule),
            step_size=config.step_size,
            final_step_size=config.final_step_size,
            num_generations=config.num_generations,
            stream=stream,
        ),
        stream,
    )
