"""What a user's own parts must keep to: each way of breaking it is one line that names the call."""

import dataclasses

import jax
import jax.numpy as jnp
import pytest

from edl_jax import EvolutionConfig, make_evolution
from edl_jax.errors import OptionError
from edl_jax.strategies import Mutation, make_control, make_mutation, make_strategy
from edl_jax.strategies.ingredients import make_ingredients
from edl_jax.strategies.registry import STRATEGIES
from tests import own_parts

TINY = EvolutionConfig(population_size=8, batch_size=64, num_classes=3, width=4)


def broken_strategy(**changes):
    """ES, but for the functions given."""
    return lambda ingredients: STRATEGIES["ES"](ingredients)._replace(**changes)


def refusal(config=TINY, **own):
    with pytest.raises(OptionError) as error:
        make_evolution(config, **own)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("option", ["strategy", "network", "objective", "mutation", "schedule"])
def test_parts_that_keep_to_their_contract_are_taken(option):
    own = {
        "strategy": own_parts.best_step,
        "network": own_parts.power,
        "objective": own_parts.steep,
        "mutation": own_parts.laplace,
        "schedule": own_parts.halving,
    }
    evolution = make_evolution(TINY, **{option: own[option]})

    _, info = evolution.run(evolution.init(jax.random.key(0)), 2)
    assert jnp.all(jnp.isfinite(info.best_fitness))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"ask": lambda key, state: state}, "ask to run ("),
        ({"ask": lambda key, state: (jnp.zeros((8, 2)), state)}, "ask to run ("),
        (
            {"tell": lambda key, candidates, fitness, state: candidates[0]},
            "tell(...) to give the state of the form",
        ),
        (
            {"reevaluate": lambda state, evaluate: state.mean},
            "reevaluate(state, evaluate) to give the state of the form",
        ),
        ({"incumbent": lambda state: state.nowhere}, "incumbent to run (AttributeError"),
        ({"init": lambda key, population: population[0]}, "init to run (TypeError"),
    ],
)
def test_a_broken_strategy_is_named_by_the_call_that_breaks(changes, said):
    assert said in refusal(strategy=broken_strategy(**changes))


def test_a_broken_strategy_on_parameters_is_named_by_the_call_that_breaks():
    params = make_evolution(TINY).network.init(jax.random.key(0))
    strategy = make_strategy(TINY, params)

    alone = strategy._replace(ask=lambda key, state: strategy.ask(key, state)[0])
    assert "ask(key, state) to give (candidates, state)" in refusal(strategy=alone)
    fewer = strategy._replace(ask=lambda key, state: (jax.tree.map(lambda x: x[:7], params), state))
    assert "ask(key, state) to give candidates of the form {'mlp/0" in refusal(strategy=fewer)


def test_a_strategy_as_an_object_is_of_the_networks_parameters():
    ingredients = make_ingredients(TINY, num_dims=3)
    message = refusal(strategy=STRATEGIES["ES"](ingredients))

    assert message.startswith("strategy edl_jax.strategies.es:es.<locals>.init: expected")
    with pytest.raises(OptionError, match="restart_after 5: expected 0 with a strategy"):
        make_evolution(
            dataclasses.replace(TINY, restart_after=5), strategy=STRATEGIES["ES"](ingredients)
        )


@pytest.mark.parametrize(
    ("init", "apply", "said"),
    [
        (lambda key: jnp.zeros(3), None, "init(key) to give a dict of float32 arrays"),
        (lambda key: {"w": jnp.zeros(3, jnp.int32)}, None, "init(key) to give a dict of float32"),
        (
            lambda key: {"w": jnp.zeros(1)},
            lambda params, logits, labels, context=None: logits,
            "apply(params, logits, labels, context) of 3 classes to give losses of the form fl",
        ),
        (
            lambda key: {"w": jnp.zeros(1)},
            lambda params, logits, labels, context=None: params["v"],
            "apply to run (KeyError: 'v'",
        ),
        (
            lambda key: {"w": jnp.zeros(1)},
            lambda params, logits, labels: jnp.zeros(labels.shape),
            "apply to run (TypeError",
        ),
        (
            lambda key: {"w": jnp.zeros(3)},
            lambda params, logits, labels, context=None: logits @ params["w"],
            "apply to run (TypeError",  # at another number of classes
        ),
    ],
)
def test_a_broken_network_is_named_by_the_call_that_breaks(init, apply, said):
    network = own_parts.power(4, 3)._replace(init=init)
    network = network if apply is None else network._replace(apply=apply)

    assert said in refusal(network=network, config=dataclasses.replace(TINY, more_classes=(5,)))


@pytest.mark.parametrize(
    ("evaluate", "said"),
    [
        (lambda loss, problem: jnp.zeros(()), "a dict of scalars), not float32[]"),
        (lambda loss, problem: (jnp.zeros(3), {}), "(a scalar, a dict of scalars)"),
        (lambda loss, problem: loss(problem), "evaluate to run (TypeError"),
    ],
)
def test_a_broken_objective_is_named_by_what_it_gives(evaluate, said):
    assert said in refusal(objective=own_parts.steep(TINY)._replace(evaluate=evaluate))


def test_a_broken_mutation_is_named_by_what_it_gives():
    whole = make_mutation("gaussian")
    flat = dataclasses.replace(whole, sample=lambda key, state: (state, jnp.zeros(4)))

    assert "sample(key, state) to give (state, z) of the form" in refusal(mutation=flat)


def test_a_broken_control_is_named_by_what_it_gives():
    whole = make_control("csa", step_size=0.1, final_step_size=0.01, num_generations=9)
    none = dataclasses.replace(whole, init=lambda key, population_size, num_dims: jnp.zeros(3))
    wide = dataclasses.replace(whole, ask=lambda key, state: (state, jnp.zeros(3)))
    other = dataclasses.replace(whole, tell=lambda state, seen: state.step_size)

    assert "a state whose step_size is a float32 scalar" in refusal(schedule=none)
    assert "sizes of shape () or (population_size, 1)" in refusal(schedule=wide)
    assert "tell(state, selection) to give the state of the form" in refusal(schedule=other)


def test_what_a_strategy_does_without_is_refused_as_an_object_too():
    config = dataclasses.replace(TINY, strategy="CMA_ES")

    with pytest.raises(OptionError, match=r"mutation .*: expected none with strategy CMA_ES"):
        make_evolution(config, mutation=own_parts.laplace)
    with pytest.raises(OptionError, match=r"schedule .*: expected none with strategy CMA_ES"):
        make_evolution(config, schedule=own_parts.halving)


def test_an_operator_may_know_the_population_and_the_number_of_parameters():
    """Groups of four candidates, and a width for each gene."""

    def sample(key, state):
        groups, genes = state
        z = jax.random.normal(key, (4, groups.size, genes.size)) * genes[None, None]
        return state, z.reshape(-1, genes.size)

    def init(key, shape):
        return jnp.zeros(shape[0] // 4), jnp.ones(shape[1])

    make_evolution(TINY, mutation=Mutation(init, sample))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"step": lambda x: (x, x[0])}, "step(state) to give (state, values) of the form"),
        ({"step": lambda x: (x[0], x)}, "step(state) to give (state, values) of the form"),
        ({"init": lambda key: key}, "init(key, shape) to run (TypeError"),
    ],
)
def test_a_broken_map_is_named_by_the_call_that_breaks(changes, said):
    assert said in refusal(map=dataclasses.replace(own_parts.rotation, **changes))


def test_an_objective_without_a_gradient_is_none_for_descent():
    def evaluate(loss, problem):
        steps = jnp.where(jnp.sum(loss(*problem)) > 0, 3, 2)
        value = jax.lax.fori_loop(0, steps, lambda i, x: 2 * x, jnp.mean(loss(*problem)))
        return value, {}

    looped = own_parts.steep(TINY)._replace(evaluate=evaluate)
    config = dataclasses.replace(TINY, strategy="gradient")

    make_evolution(TINY, looped)
    assert "the gradient of evaluate to run (ValueError: Reverse-mode" in refusal(
        config, objective=looped
    )
