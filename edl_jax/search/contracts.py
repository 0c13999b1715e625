"""Contracts of a user's own parts, checked by tracing before a search begins.

A part that breaks its contract would fail deep within a compiled scan, in words about carries and
tracers. Here each function is traced alone, and one line says which of them gave what.
"""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import product
from typing import Any

import jax
import jax.numpy as jnp

from edl_jax import parts
from edl_jax.chaos.maps import ChaoticMap
from edl_jax.errors import OptionError, one_line, require
from edl_jax.losses.base import Context
from edl_jax.losses.networks import Network, Params
from edl_jax.objective.fitness import Objective
from edl_jax.strategies.base import PyTree, Strategy
from edl_jax.strategies.mutation import Mutation
from edl_jax.strategies.step_size import Selection, StepSizeControl

_NUM_EXAMPLES = 6
_KEY = jax.eval_shape(partial(jax.random.key, 0))


def check_network(named: object, network: Network, class_counts: Sequence[int]) -> None:
    """That ``init`` gives float32 arrays by name, and ``apply`` a loss for each example.

    Raises:
      OptionError: it does not.
    """
    params = _traced("network", named, "init(key)", network.init, _KEY)
    arrays = isinstance(params, dict) and all(
        isinstance(name, str) and isinstance(leaf, jax.ShapeDtypeStruct) and leaf.dtype == "float32"
        for name, leaf in params.items()
    )
    require(arrays, "network", named, f"init(key) to give a dict of float32 arrays, not {params}")
    context = Context(*(3 * [_float32()])) if network.reads_context else None

    def apply(params: Any, logits: Any, labels: Any, context: Any) -> Any:
        return network.apply(params, logits, labels, context=context)

    for num_classes, shape in product(class_counts, ((_NUM_EXAMPLES,), (2, 3))):
        logits = _float32(*shape, num_classes)
        labels = jax.ShapeDtypeStruct(shape, jnp.int32)
        given = _traced("network", named, "apply", apply, params, logits, labels, context)
        call = f"apply(params, logits, labels, context) of {num_classes} classes"
        _require_form("network", named, call, given, _float32(*shape))


def check_map(named: object, chaos: ChaoticMap) -> None:
    """That ``step`` gives the next state and values of the shape that ``init`` was given.

    Raises:
      OptionError: it does not.
    """
    wanted = _float32(4, 3)
    trace = partial(_traced, "map", named)
    state = trace("init(key, shape)", lambda key: chaos.init(key, wanted.shape), _KEY)
    given = trace("step", chaos.step, state)
    _require_form("map", named, "step(state)", given, (state, wanted), "(state, values)")


def check_strategy(named: object, strategy: Strategy, population: Params) -> None:
    """That a generation of ``strategy`` takes and gives what a scan can carry.

    Args:
      named: how errors call it.
      strategy: of candidates like those of ``population``.
      population: shapes; leaves lead with population_size.

    Raises:
      OptionError: it does not.
    """
    size = jax.tree.leaves(population)[0].shape[0]
    fitness = jax.ShapeDtypeStruct((size,), jnp.float32)

    def evaluate(known: PyTree) -> jax.Array:
        return jnp.zeros(jax.tree.leaves(known)[0].shape[0], jnp.float32)

    def init(key: jax.Array, start: PyTree) -> Any:
        return strategy.init(key, start, evaluate)

    def reevaluate(state: Any) -> Any:
        return strategy.reevaluate(state, evaluate)

    trace = partial(_traced, "strategy", named)
    state = trace("init", init, _KEY, population)
    current = trace("reevaluate", reevaluate, state)
    _require_form("strategy", named, "reevaluate(state, evaluate)", current, state, "the state")
    asked = trace("ask", strategy.ask, _KEY, current)
    pair = isinstance(asked, tuple) and len(asked) == 2
    require(pair, "strategy", named, "ask(key, state) to give (candidates, state)")
    candidates, waiting = asked
    _require_form("strategy", named, "ask(key, state)", candidates, population, "candidates")
    told = trace("tell", strategy.tell, _KEY, candidates, fitness, waiting)
    _require_form("strategy", named, "tell(...)", told, state, "the state")
    one = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), population)
    stands_for = trace("incumbent", strategy.incumbent, told)
    _require_form("strategy", named, "incumbent(state)", stands_for, one, "one candidate")


def check_mutation(named: object, mutation: Mutation, shape: tuple[int, int]) -> None:
    """That ``sample`` gives the state and a perturbation of ``shape``, population by dimensions.

    Raises:
      OptionError: it does not.
    """
    trace = partial(_traced, "mutation", named)
    state = trace("init(key, shape)", lambda key: mutation.init(key, shape), _KEY)
    given = trace("sample", mutation.sample, _KEY, state)
    wanted = (state, _float32(*shape))
    _require_form("mutation", named, "sample(key, state)", given, wanted, "(state, z)")


def check_control(named: object, control: StepSizeControl, shape: tuple[int, int]) -> None:
    """That ``ask`` gives a size for all or for each candidate, and ``tell`` the state again.

    Raises:
      OptionError: it does not.
    """
    trace = partial(_traced, "schedule", named)
    state = trace(
        "init(key, population_size, num_dims)", lambda key: control.init(key, *shape), _KEY
    )
    size = getattr(getattr(state, "step_size", None), "shape", None)
    require(size == (), "schedule", named, "a state whose step_size is a float32 scalar")
    asked = trace("ask", control.ask, _KEY, state)
    sizes = asked[1] if isinstance(asked, tuple) and len(asked) == 2 else None
    given = getattr(sizes, "shape", None)
    expected = "ask(key, state) to give (state, sizes), sizes of shape () or (population_size, 1)"
    require(given in ((), (shape[0], 1)), "schedule", named, expected)
    seen: Any = Selection(
        jax.ShapeDtypeStruct((), jnp.int32),  # type: ignore[arg-type]
        *(_float32(length) for length in (shape[0], *shape)),
    )
    told = trace("tell", control.tell, asked[0], seen)
    _require_form("schedule", named, "tell(state, selection)", told, state, "the state")


def check_objective(
    named: object, objective: Objective, network: Network, *, differentiated: bool = False
) -> None:
    """That ``evaluate`` gives a scalar and a dict of scalars for what ``sample`` gives.

    Args:
      named: how errors call it.
      objective: the objective.
      network: what it judges.
      differentiated: whether the fitness must have a gradient too.

    Raises:
      OptionError: it does not.
    """
    problem = _traced("objective", named, "sample(key)", objective.sample, _KEY)
    params = jax.eval_shape(network.init, _KEY)

    def evaluate(params: Params, problem: Any) -> Any:
        return objective.evaluate(partial(network.apply, params), problem)

    given = _traced("objective", named, "evaluate", evaluate, params, problem)
    terms = given[1] if isinstance(given, tuple) and len(given) == 2 else None
    scalars = isinstance(terms, dict) and all(
        getattr(x, "shape", None) == () for x in (given[0], *terms.values())
    )
    shown = f"(a scalar, a dict of scalars), not {_form(given)}"
    require(scalars, "objective", named, f"evaluate(loss, problem) to give {shown}")
    if differentiated:
        slope = jax.grad(lambda params, problem: evaluate(params, problem)[0])
        _traced("objective", named, "the gradient of evaluate", slope, params, problem)


def _float32(*shape: int) -> Any:
    return jax.ShapeDtypeStruct(shape, jnp.float32)


def _traced(field: str, named: object, what: str, function: Callable, *args: Any) -> Any:
    try:
        return jax.eval_shape(function, *args)
    except OptionError:
        raise
    except Exception as error:
        line = parts.line_in_file(error, named)
        said = f"{type(error).__name__}: {one_line(error)}{line}"
        raise OptionError(field, named, f"{what} to run ({said})") from error


def _require_form(
    field: str, named: object, call: str, given: Any, wanted: Any, what: str = "losses"
) -> None:
    forms: list[Any] = [jax.tree.structure(tree) for tree in (given, wanted)]
    same = forms[0] == forms[1] and all(
        (a.shape, a.dtype) == (b.shape, b.dtype)
        for a, b in zip(jax.tree.leaves(given), jax.tree.leaves(wanted), strict=True)
    )
    expected = f"{call} to give {what} of the form {_form(wanted)}, not {_form(given)}"
    require(same, field, named, expected)


def _form(tree: Any) -> str:
    """A pytree of shapes in a few words.

    >>> _form({"a": jax.ShapeDtypeStruct((2, 3), jnp.float32)})
    "{'a': float32[2,3]}"
    """
    text = jax.tree.map(lambda x: _Word(f"{x.dtype}[{','.join(map(str, x.shape))}]"), tree)
    shown = repr(text)
    return shown if len(shown) <= 200 else f"{shown[:200]}…"


class _Word(str):
    def __repr__(self) -> str:
        return str(self)
