"""A whole search: generations in chunks, the loss that is frozen, and what is measured of it."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from typing import Any, NamedTuple, Unpack

import jax
import jax.numpy as jnp
import numpy as np

from edl_jax.config import EvolutionConfig
from edl_jax.errors import EdlError, require
from edl_jax.losses.learned import LearnedLoss, make_learned_loss
from edl_jax.losses.networks import NetworkSpec, Params, network_spec
from edl_jax.objective.fitness import GAIN
from edl_jax.objective.gains import Rehearsal, gains, sample_rehearsal, shortfall
from edl_jax.objective.properties import PROFILE_POINTS, largest_rise, loss_profile
from edl_jax.objective.ranking import HeldOut, held_out
from edl_jax.search import front
from edl_jax.search.chosen import Parts, sources
from edl_jax.search.engine import (
    EvolutionState,
    GenerationInfo,
    make_evolution,
    parallel_searches,
)
from edl_jax.search.front import Member
from edl_jax.search.layout import make_layout
from edl_jax.statistics import finite_or_none


class Chunk(NamedTuple):
    """The state of affairs after some generations.

    Attributes:
      generation: generations done.
      info: of the generations since the last chunk, as NumPy arrays with a leading axis of
        generations.
      discordance: held-out discordance of the loss as it stands, the lowest of several searches.
      state: the search's state, to resume from.
    """

    generation: int
    info: GenerationInfo
    discordance: float
    state: EvolutionState

    @property
    def gains(self) -> dict[str, float]:
        """Gain of the last generation's best candidate in each regime of rehearsal."""
        terms = self.info.terms
        return {name: float(terms[name][-1]) for name in terms if name.startswith(GAIN)}

    def rows(self) -> Iterator[dict[str, float | int | None]]:
        """A row a generation, ready for JSON; None is not finite."""
        info, last = self.info, len(self.info.best_fitness) - 1
        for i in range(last + 1):
            row: dict[str, float | int | None] = {
                "generation": self.generation - last + i,
                "best_fitness": finite_or_none(info.best_fitness[i]),
                "mean_fitness": finite_or_none(info.mean_fitness[i]),
                "num_failed": int(info.num_failed[i]),
                **{name: finite_or_none(term[i]) for name, term in info.terms.items()},
            }
            if i == last:
                row["held_out_discordance"] = self.discordance
            yield row


class Evolved(NamedTuple):
    """A finished search.

    Attributes:
      loss: the frozen loss.
      figures: what was measured of it, ready for JSON.
      front: of a rehearsing search, the losses that are best in some trade-off between regimes,
        the best by the objective first; ``loss`` is that one.
    """

    loss: LearnedLoss
    figures: dict[str, Any]
    front: Sequence[Member] = ()


def chunk_sizes(num_generations: int, longest: int = 50) -> Iterator[int]:
    """Split a search into equal chunks of at most ``longest`` generations, and a remainder.

    Equal chunks share one compilation; a number with a divisor close to ``longest`` needs no other.

    >>> list(chunk_sizes(90))
    [45, 45]
    """
    divisors = [d for d in range(1, longest + 1) if num_generations % d == 0]
    size = divisors[-1] if divisors[-1] >= min(longest // 2, num_generations) else longest
    for start in range(0, num_generations, size):
        yield min(size, num_generations - start)


def evolve(
    config: EvolutionConfig,
    seed: int = 0,
    *,
    num_searches: int = 1,
    start: LearnedLoss | None = None,
    on_chunk: Callable[[Chunk], None] = lambda chunk: None,
    on_stage: Callable[[str], None] = lambda stage: None,
    restore: Callable[[EvolutionState], EvolutionState | None] = lambda state: None,
    provenance: Mapping[str, Any] | None = None,
    **own: Unpack[Parts],
) -> Evolved:
    """Evolve a loss and freeze it.

    Args:
      config: the search.
      seed: of initial weights, mutations and synthetic pairs.
      num_searches: independent searches side by side; the loss that rehearses best, on fresh
        tasks of ``config.rehearsal``, is kept.
      start: a loss to evolve further, of the network and width of ``config``.
      on_chunk: called with what is known, every some generations.
      on_stage: called with a word on what begins after the search.
      restore: given the state that the search begins with, the one of some :class:`Chunk` to
        resume from instead, or None.
      provenance: JSON-serialisable; goes into the loss beside the figures, and the digests of
        parts that are not the package's.
      own: parts in place of those that ``config`` names; see :class:`~edl_jax.search.chosen.Parts`.

    Returns:
      The loss, its scale fixed, its figures on fresh held-out pairs, and the front of a search that
      rehearses.

    Raises:
      OptionError: ``start`` has another network or width.
      EdlError: ``restore`` gave a state that no chunk of this search ends with, or what was evolved
        does not descend as far as cross-entropy, or rises by more than ``config.max_rise``.

    >>> config = EvolutionConfig(population_size=16, num_generations=40, batch_size=64, width=4)
    >>> loss, figures, _ = evolve(config)
    >>> loss(jnp.zeros((2, 10)), jnp.array([0, 1])).shape
    (2,)
    """
    # As they are now: a file may change while the search runs.
    found = {option: asdict(source) for option, source in sources(config, own).items()}
    foreign = {"parts": found} if found else {}
    spec = network_spec(own.get("network", config.network), config.width, config.num_classes)
    if start is not None:
        require_start(start, spec, start)
    first = None if start is None else dict(start.params)
    evolution = parallel_searches(make_evolution(config, start=first, **own), num_searches)
    init_key, monitor_key, final_key = jax.random.split(jax.random.key(seed), 3)

    @jax.jit
    def agreement(params: Params, key: jax.Array) -> HeldOut:
        return held_out(partial(evolution.network.apply, params), key, config)

    def searches(state: EvolutionState) -> list[Params]:
        # On the host: what follows is small, and every process does it for itself.
        params = jax.device_get(evolution.params(state))
        if num_searches == 1:
            return [params]
        return [jax.tree.map(lambda leaf, i=i: leaf[i], params) for i in range(num_searches)]

    state, generation = evolution.init(init_key), 0
    restored = restore(state)
    state, done = (state, 0) if restored is None else (restored, int(restored.generation))
    # Seconds a generation, or many a second.
    longest = 50 if state.archive is None else 1
    for size in chunk_sizes(config.num_generations, longest):
        generation += size
        if generation <= done:
            continue
        if generation - size != int(state.generation):
            raise EdlError(f"checkpoint of generation {done}: expected one at the end of a chunk")
        state, info = evolution.run(state, size)
        now = min(float(agreement(p, monitor_key).discordance) for p in searches(state))
        on_chunk(Chunk(generation, jax.device_get(info), now, state))

    candidates = searches(state)
    if state.archive is not None:
        candidates = front.pool(jax.device_get(state.archive), candidates)
    losses = _checked_losses(config, spec, candidates)
    members: Sequence[Member] = ()
    frozen, rehearsed = losses[0], {}
    if len(candidates) > 1:
        on_stage(f"rehearsing {len(losses)} losses on fresh tasks")
        members = _front(config, losses, final_key)
        frozen, rehearsed = members[0].loss, {"gains": members[0].gains}
    final = agreement(frozen.params, final_key)
    _, gradients = loss_profile(frozen, PROFILE_POINTS, config.num_classes)
    figures = {
        "held_out_discordance": float(final.discordance),
        "held_out_tau": float(final.tau),
        "scale": float(frozen.scale),
        "largest_rise": largest_rise(frozen, config.num_classes),
        "logit_gradient": dict(zip(map(str, PROFILE_POINTS), gradients.tolist(), strict=True)),
        "cross_entropy_logit_gradient": {str(p): p - 1 for p in PROFILE_POINTS},
        **rehearsed,
    }

    def made(loss: LearnedLoss, figures: dict[str, Any]) -> LearnedLoss:
        content = {**(provenance or {}), **foreign, "figures": figures}
        text = json.dumps(content, sort_keys=True)
        return jax.tree.map(jnp.asarray, replace(loss, provenance_json=text))

    members = [m._replace(loss=made(m.loss, {"gains": m.gains})) for m in members]
    return Evolved(made(frozen, figures), figures, members if state.archive is not None else ())


def require_start(start: LearnedLoss, spec: NetworkSpec, said: object) -> None:
    """Raise :class:`OptionError` on ``said`` unless ``start`` is of the network of ``spec``."""
    expected = f"a loss of network {spec.name}, width {spec.width}"
    fits = (start.spec.name, start.spec.width) == (spec.name, spec.width)
    require(fits, "start", said, expected)


def _checked_losses(
    config: EvolutionConfig, spec: NetworkSpec, candidates: Sequence[Params]
) -> list[LearnedLoss]:
    """Those of the candidates that pass; if none does, the error of the last one is raised."""
    losses: list[LearnedLoss] = []
    failure = EdlError("nothing was evolved")
    for params in candidates:
        try:
            losses.append(_checked_loss(config, spec, params))
        except EdlError as error:
            failure = error
    if not losses:
        raise failure
    return losses


def _checked_loss(config: EvolutionConfig, spec: NetworkSpec, params: Params) -> LearnedLoss:
    """``params`` as a loss, unless it prefers, anywhere, that the label is less probable."""
    loss = make_learned_loss(spec, params)
    rise = largest_rise(loss, config.num_classes)
    if not rise <= config.max_rise:
        raise EdlError(
            f"what was evolved rises by {rise:.1%} of its range as the label's probability grows, "
            f"more than max_rise {config.max_rise}: evolve for more generations, or from another "
            "seed"
        )
    return loss


def _front(config: EvolutionConfig, losses: Sequence[LearnedLoss], key: jax.Array) -> list[Member]:
    """The front of ``losses``, the best by the objective first."""
    fresh = replace(config.rehearsal, num_tasks=front.FRESH_TASKS * config.rehearsal.num_tasks)

    @jax.jit
    def rehearsed(stacked: LearnedLoss) -> tuple[dict[str, jax.Array], jax.Array]:
        def of_loss(loss: LearnedLoss, drawn: Rehearsal) -> tuple[dict[str, jax.Array], jax.Array]:
            gained = gains(loss, drawn, fresh)
            return gained, shortfall(gained, fresh)

        layout = make_layout(len(losses), jax.local_devices())
        return layout.map(of_loss, stacked, sample_rehearsal(key, fresh))

    gained, behind = jax.device_get(
        rehearsed(jax.tree.map(lambda *leaves: jnp.stack(leaves), *losses))
    )
    best = front.non_dominated(np.stack(list(gained.values()), axis=1))
    return [
        Member(losses[i], {name: float(values[i]) for name, values in gained.items()})
        for i in np.argsort(behind, kind="stable").tolist()
        if best[i]
    ]
