"""The parts of a search: those that its configuration names, or objects in their place."""

from collections.abc import Callable
from typing import NamedTuple, Unpack

import jax
import jax.numpy as jnp

from edl_jax import parts
from edl_jax.chaos.maps import ChaoticMap
from edl_jax.config import STRATEGIES, EvolutionConfig
from edl_jax.losses import networks
from edl_jax.losses.networks import Network, Params, make_network
from edl_jax.objective.fitness import Objective, make_objective
from edl_jax.search import contracts
from edl_jax.strategies import registry
from edl_jax.strategies.base import Strategy, num_dims
from edl_jax.strategies.ingredients import OwnIngredients, make_ingredients
from edl_jax.strategies.registry import make_strategy, matrix_size


class OwnParts(OwnIngredients, total=False):
    """Parts of your own, each in place of what the option of its name says.

    What lives in a file may be named in the configuration instead, ``path/to/file.py:NAME``: the
    part itself, or a function that makes it.

    Attributes:
      network: the loss network, or a function of the width and the number of classes.
      mutation: and the next two, see :class:`~edl_jax.strategies.ingredients.OwnIngredients`.
      schedule: the control of step sizes.
      map: the chaotic map.
    """

    network: Network | networks.Maker


class Parts(OwnParts, total=False):
    """All parts that may be one's own.

    Attributes:
      objective: what candidates are judged by, or a function of the :class:`EvolutionConfig`.
      strategy: of candidates like the network's parameters, or a function of
        :class:`~edl_jax.strategies.ingredients.Ingredients` that makes one on vectors.
    """

    objective: Objective | Callable[[EvolutionConfig], Objective]
    strategy: Strategy | registry.Maker


class Chosen(NamedTuple):
    """The finished parts of a search.

    Attributes:
      network: the loss network.
      objective: what candidates are judged by.
      strategy: of candidates like the network's parameters.
      rehearses: whether the objective is the package's, and rehearses.
    """

    network: Network
    objective: Objective
    strategy: Strategy
    rehearses: bool


def sources(config: EvolutionConfig, own: Parts | None = None) -> dict[str, parts.Source]:
    """By option, where those parts come from that are not the package's.

    >>> sources(EvolutionConfig(strategy="CMA_ES"))
    {}
    """
    chosen_by: dict[str, object] = {**config.named_parts, **(own or {})}
    found = {option: parts.source(part, option) for option, part in chosen_by.items()}
    return {option: source for option, source in found.items() if source is not None}


def choose(config: EvolutionConfig, **own: Unpack[Parts]) -> Chosen:
    """The parts of the search that ``config`` describes, a user's own held to their contracts.

    Raises:
      OptionError: there is no such part, or it breaks its contract.

    >>> network, objective, strategy, rehearses = choose(EvolutionConfig(strategy="SNES"))
    """
    chosen_by: dict[str, object] = {**config.named_parts, **own}
    foreign = {option: source.name for option, source in sources(config, own).items()}

    network = make_network(own.get("network", config.network), config.width, config.num_classes)
    if "network" in foreign:
        counts = (config.num_classes, *config.more_classes)
        contracts.check_network(foreign["network"], network, counts)

    can = None if "strategy" in foreign else STRATEGIES[config.strategy]
    if "objective" in foreign:
        judge = chosen_by["objective"]
        found = parts.find("objective", judge, {})
        objective = parts.finished("objective", judge, found, Objective, config)
        contracts.check_objective(
            foreign["objective"],
            objective,
            network,
            differentiated=can is not None and can.follows_gradient,
        )
    else:
        objective = make_objective(config, network)

    solution = _solution(network)
    of_strategy: OwnIngredients = {  # type: ignore[assignment]
        option: part for option, part in own.items() if option in OwnIngredients.__annotations__
    }
    if "map" in foreign:
        chaos = parts.find("map", chosen_by["map"], {})
        contracts.check_map(foreign["map"], parts.finished("map", "", chaos, ChaoticMap))
    if {"mutation", "schedule"} & foreign.keys():
        shape = (config.population_size, num_dims(solution))
        ingredients = make_ingredients(config, num_dims(solution), **of_strategy)
        if "mutation" in foreign:
            contracts.check_mutation(foreign["mutation"], ingredients.mutation, shape)
        if "schedule" in foreign:
            contracts.check_control(foreign["schedule"], ingredients.control, shape)
    strategy = make_strategy(config, solution, own.get("strategy"), **of_strategy)
    if "strategy" in foreign:
        population = jax.eval_shape(
            lambda one: jax.tree.map(
                lambda leaf: jnp.zeros((config.population_size, *leaf.shape), leaf.dtype), one
            ),
            solution,
        )
        contracts.check_strategy(foreign["strategy"], strategy, population)
    rehearses = "objective" not in foreign and config.objective.rehearsal > 0
    return Chosen(network, objective, strategy, rehearses)


def quadratic_cost(config: EvolutionConfig, **own: Unpack[Parts]) -> str:
    """A warning before a search whose strategy keeps a matrix; empty if it keeps none.

    Raises:
      OptionError: as :func:`choose`, or the strategy cannot run with its options.

    >>> print(quadratic_cost(EvolutionConfig(strategy="CMA_ES")))
    CMA_ES keeps 401 x 401 numbers for the 401 parameters of the loss: time and memory grow with \
their square.
    """
    if "strategy" in own:
        return ""
    chosen = choose(config, **own)
    size = matrix_size(config, _solution(chosen.network), chosen.strategy)
    if not size:
        return ""
    return (
        f"{config.strategy} keeps {size} x {size} numbers for the {size} parameters of the loss: "
        "time and memory grow with their square."
    )


def _solution(network: Network) -> Params:
    shapes = jax.eval_shape(network.init, jax.random.key(0))
    return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
