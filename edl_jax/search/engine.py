"""The evolution of a loss: ask, evaluate the population, tell, inside one ``lax.scan``.

``make_evolution(config)`` returns pure functions. A chunk of generations is one compiled program
that never returns to the host; seeds are a ``jax.vmap`` over keys away. The population is spread
over all devices, see :mod:`edl_jax.search.layout`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, Unpack

import jax
import jax.numpy as jnp

from edl_jax.chaos.maps import State
from edl_jax.config import EvolutionConfig
from edl_jax.losses.networks import Network, Params
from edl_jax.objective.fitness import Objective
from edl_jax.search import front
from edl_jax.search.chosen import OwnParts, Parts, choose
from edl_jax.search.layout import make_layout
from edl_jax.strategies import registry
from edl_jax.strategies.base import Strategy


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["strategy", "key", "generation", "archive"],
    meta_fields=[],
)
@dataclass(frozen=True)
class EvolutionState:
    """The state of a search between generations: all that it needs to continue.

    Attributes:
      strategy: the strategy's own state, with the mutation operator's in it.
      key: the search's PRNG key; each generation folds its number into it.
      generation: int32 scalar, generations done.
      archive: candidates that led in some regime of late, where the search rehearses; else None.
    """

    strategy: State
    key: jax.Array
    generation: jax.Array
    archive: Params | None = None


class GenerationInfo(NamedTuple):
    """The report of each generation: scalars here, with a leading axis from ``run``.

    Attributes:
      best_fitness: lowest fitness in the generation (on its own noisy batch).
      mean_fitness: mean over the candidates whose fitness is finite.
      num_failed: int32, candidates whose fitness is not finite; they rank last.
      terms: the objective's terms for the generation's best candidate, unweighted.
    """

    best_fitness: jax.Array
    mean_fitness: jax.Array
    num_failed: jax.Array
    terms: dict[str, jax.Array]


class Evolution(NamedTuple):
    """An evolutionary search as pure functions.

    Attributes:
      init: ``key -> state``.
      run: ``(state, generations) -> (state, info)``, jitted; ``generations`` is static, and the
        leaves of ``info`` have a leading axis of that length.
      params: ``state -> params`` of the loss that the search stands for: the distribution's mean
        or the fittest of the population.
      network: the loss network.
    """

    init: Callable[[jax.Array], EvolutionState]
    run: Callable[[EvolutionState, int], tuple[EvolutionState, GenerationInfo]]
    params: Callable[[EvolutionState], Params]
    network: Network


def make_evolution(
    config: EvolutionConfig,
    objective: Objective | Callable[[EvolutionConfig], Objective] | None = None,
    strategy: Strategy | registry.Maker | None = None,
    *,
    start: Params | None = None,
    devices: Sequence[jax.Device] | None = None,
    **own: Unpack[OwnParts],
) -> Evolution:
    """Build the search that ``config`` describes.

    Args:
      config: population, strategy, network, mixture, objective.
      objective: replaces the one that ``config.objective`` describes.
      strategy: replaces the one that ``config.strategy`` names.
      start: parameters to start from, in place of the first of a drawn population; ES starts from
        them alone.
      devices: what the population is spread over; by default all devices of all processes.
      own: further parts of your own: ``network``, ``mutation``, ``schedule``, ``map``; see
        :class:`~edl_jax.search.chosen.OwnParts`.

    Returns:
      Pure functions; all of them may be put under ``jax.jit`` and ``jax.vmap``.

    Raises:
      OptionError: there is no such part, or one of your own breaks its contract.

    >>> config = EvolutionConfig(population_size=8, batch_size=64, width=4)
    >>> evolution = make_evolution(config)
    >>> state = evolution.init(jax.random.key(0))
    >>> state, info = evolution.run(state, 3)
    >>> info.best_fitness.shape
    (3,)
    >>> states = jax.vmap(evolution.init)(jax.random.split(jax.random.key(0), 2))
    >>> _, info = jax.vmap(lambda s: evolution.run(s, 3))(states)
    >>> info.best_fitness.shape
    (2, 3)
    """
    chosen: Parts = {**own}
    if objective is not None:
        chosen["objective"] = objective
    if strategy is not None:
        chosen["strategy"] = strategy
    network, judge, searcher, rehearses = choose(config, **chosen)
    layout = make_layout(config.population_size, devices)

    def of_candidate(candidate: Params, problem: Any) -> tuple[jax.Array, dict[str, jax.Array]]:
        return judge.evaluate(partial(network.apply, candidate), problem)

    def evaluate(population: Params, problem: Any) -> tuple[jax.Array, dict[str, jax.Array]]:
        fitness, terms = layout.map(of_candidate, population, problem, config.candidates_at_once)
        fitness = jnp.where(jnp.isfinite(fitness), fitness, jnp.inf)
        return fitness.astype(jnp.float32), terms

    def init(key: jax.Array) -> EvolutionState:
        network_key, problem_key, strategy_key, run_key = jax.random.split(key, 4)
        population = jax.vmap(network.init)(jax.random.split(network_key, config.population_size))
        if start is not None:
            population = jax.tree.map(lambda drawn, one: drawn.at[0].set(one), population, start)
        state = searcher.init(
            strategy_key,
            layout.split(population),
            lambda candidates: evaluate(candidates, judge.sample(problem_key))[0],
        )
        # Python numbers in a strategy's state are of weak type, the scan's are not: the second
        # chunk of generations would be compiled again.
        state = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.result_type(leaf)), state)
        archive = None
        if rehearses:
            first = jax.tree.map(lambda leaf: leaf[0], population)
            archive = front.empty_archive(first, config.rehearsal)
        return layout.split(EvolutionState(state, run_key, jnp.zeros((), jnp.int32), archive))

    def generation(state: EvolutionState, _: None) -> tuple[EvolutionState, GenerationInfo]:
        key = jax.random.fold_in(state.key, state.generation)
        problem_key, ask_key, tell_key = jax.random.split(key, 3)
        problem = judge.sample(problem_key)
        current = searcher.reevaluate(state.strategy, lambda known: evaluate(known, problem)[0])
        population, asked = searcher.ask(ask_key, current)
        population = layout.split(population)
        fitness, terms = evaluate(population, problem)
        told = searcher.tell(tell_key, population, fitness, asked)
        finite = jnp.isfinite(fitness)
        best = jnp.argmin(fitness)
        info = GenerationInfo(
            best_fitness=fitness[best],
            mean_fitness=jnp.mean(fitness, where=finite),
            num_failed=jnp.sum(~finite, dtype=jnp.int32),
            terms=jax.tree.map(lambda values: values[best], terms),
        )
        archive = state.archive
        if archive is not None:
            archive = layout.gather(front.remember(archive, population, fitness, terms))
        state = EvolutionState(told, state.key, state.generation + 1, archive)
        return layout.split(state), layout.gather(info)

    @partial(jax.jit, static_argnums=1)
    def run(state: EvolutionState, generations: int) -> tuple[EvolutionState, GenerationInfo]:
        return jax.lax.scan(generation, state, length=generations)

    def params_of(state: EvolutionState) -> Params:
        return layout.gather(searcher.incumbent(state.strategy))

    return Evolution(jax.jit(init), run, jax.jit(params_of), network)


def parallel_searches(evolution: Evolution, num_searches: int) -> Evolution:
    """Independent searches side by side, from different keys, as one.

    Args:
      evolution: the search.
      num_searches: how many; 1 gives ``evolution`` itself.

    Returns:
      An evolution whose state and ``params`` have a leading axis of searches, all but the
      generation that they share. Its info is, of each generation, that of the search with the
      lowest fitness; ``num_failed`` counts the candidates of all searches.

    >>> config = EvolutionConfig(population_size=8, batch_size=64, width=4)
    >>> searches = parallel_searches(make_evolution(config), 3)
    >>> state, info = searches.run(searches.init(jax.random.key(0)), 2)
    >>> info.best_fitness.shape, searches.params(state)["mlp/2/biases"].shape
    ((2,), (3, 1))
    """
    if num_searches == 1:
        return evolution
    axes: Any = EvolutionState(0, 0, None, 0)  # type: ignore[arg-type]

    def init(key: jax.Array) -> EvolutionState:
        keys = jax.random.split(key, num_searches)
        return jax.vmap(evolution.init, out_axes=axes)(keys)

    @partial(jax.jit, static_argnums=1)
    def run(state: EvolutionState, generations: int) -> tuple[EvolutionState, GenerationInfo]:
        def one(state: EvolutionState) -> tuple[EvolutionState, GenerationInfo]:
            return evolution.run(state, generations)

        state, info = jax.vmap(one, in_axes=(axes,), out_axes=(axes, 1))(state)
        best = jnp.argmin(info.best_fitness, axis=1)[:, None]
        of_best = jax.tree.map(lambda x: jnp.take_along_axis(x, best, axis=1)[:, 0], info)
        return state, of_best._replace(num_failed=jnp.sum(info.num_failed, axis=1))

    def params(state: EvolutionState) -> Params:
        return jax.vmap(evolution.params, in_axes=(axes,))(state)

    return Evolution(jax.jit(init), run, params, evolution.network)
