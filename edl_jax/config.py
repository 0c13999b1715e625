"""Typed configurations that check themselves; nothing here imports JAX."""

import ast
import math
from dataclasses import asdict, dataclass, field, fields
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, get_args

from edl_jax.errors import plain_numbers, require, require_int, require_number, require_one_of
from edl_jax.parts import is_own, require_part

Marginal = Literal["map", "uniform", "normal"]
Dynamics = Literal["chaotic", "shuffled", "iid"]
Orbits = Literal["element", "sequence"]
ActsOn = Literal["direction", "step_size", "gene_step_size", "switch", "recombination"]
Severity = Literal["log_prob", "margin", "brier", "agree"]


def registered(source: Path, registry: str) -> tuple[str, ...]:
    """The names in a registry, read in the file that holds it: to import that starts JAX."""
    for node in ast.parse(source.read_text()).body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if getattr(targets[0], "id", None) == registry:
            keys = getattr(getattr(node, "value", None), "keys", [])
            return tuple(str(key.value) for key in keys if isinstance(key, ast.Constant))
    raise AssertionError(f"{source} holds no {registry}")


_HERE = Path(__file__).parent
MAPS = registered(_HERE / "chaos/maps.py", "MAPS")
NETWORKS = registered(_HERE / "losses/networks.py", "NETWORKS")
REGIMES = registered(_HERE / "objective/tasks.py", "REGIMES")
MUTATIONS = registered(_HERE / "strategies/mutation.py", "MUTATIONS")
SCHEDULES = registered(_HERE / "strategies/step_size.py", "SCHEDULES")
OWN_STRATEGIES = registered(_HERE / "strategies/registry.py", "STRATEGIES")
MARGINALS, ACTS_ON = get_args(Marginal), get_args(ActsOn)
DYNAMICS, ORBITS = get_args(Dynamics), get_args(Orbits)
PLAIN_SCHEDULES = ("constant", "exponential", "cosine")


@dataclass(frozen=True)
class Abilities:
    """The abilities of a strategy."""

    takes_mutation: bool = False
    """Draws from a mutation operator."""
    recombines: bool = False
    """Averages parents with weights that chaos can act on."""
    has_mean: bool = True
    """Moves a mean, so that it can start again elsewhere."""
    adapts_to_selection: bool = False
    """Takes the step-size rules that watch the search, beside the schedules."""
    follows_gradient: bool = False
    """Differentiates the objective; so it may have a population of one."""
    takes_options: bool = False
    """Has parameters of its own, which strategy_options sets: an algorithm of evosax."""


def _of_evosax(kind: str) -> tuple[str, ...]:
    package = find_spec("evosax")
    if package is None or package.origin is None:
        return ()
    source = Path(package.origin).parent / "algorithms" / kind / "__init__.py"
    return registered(source, f"{kind}_algorithms")


STRATEGIES: dict[str, Abilities] = {
    **dict.fromkeys(OWN_STRATEGIES, Abilities()),
    "ES": Abilities(takes_mutation=True, recombines=True, adapts_to_selection=True),
    "ChaoticEvolution": Abilities(has_mean=False),
    "gradient": Abilities(has_mean=False, follows_gradient=True),
    **{
        name: Abilities(takes_mutation=name in ("Open_ES", "SNES"), takes_options=True)
        for name in _of_evosax("distribution_based")
    },
    **{
        name: Abilities(has_mean=False, takes_options=True)
        for name in _of_evosax("population_based")
    },
}
"""Name to what the strategy can do; the strategies themselves are in :mod:`edl_jax.strategies`.
Those of that registry, and all that the installed evosax has."""
# What a user's own strategy does with the options is known to it alone.
_ANY = Abilities(takes_mutation=True, recombines=True, adapts_to_selection=True)


@dataclass(frozen=True)
class ChaosConfig:
    """Which chaos, in which order, and where it acts."""

    map: str = "logistic"
    """Chaotic map of the chaotic mutation, chaotic annealing and ChaoticEvolution, or FILE.py:NAME
    of your own."""
    marginal: Marginal = "map"
    """Law of chaotic directions: the map's own, or that carried to a uniform or normal one."""
    dynamics: Dynamics = "chaotic"
    """Order of the map's values: the orbit, the orbit shuffled, or independent draws."""
    orbits: Orbits = "element"
    """One orbit for each gene of each individual, or one sequence through all of them."""
    acts_on: tuple[ActsOn, ...] = ("direction",)
    """Where chaos acts: direction, step_size of each individual, gene_step_size, switch between
    chaotic and Gaussian directions, recombination weights (ES); several go together."""

    def __post_init__(self) -> None:
        require_part("map", self.map, MAPS)
        require_one_of("marginal", self.marginal, MARGINALS)
        require_one_of("dynamics", self.dynamics, DYNAMICS)
        require_one_of("orbits", self.orbits, ORBITS)
        for place in self.acts_on:
            require_one_of("acts_on", place, ACTS_ON)
        places = " ".join(self.acts_on)
        distinct = 0 < len(self.acts_on) == len(set(self.acts_on))
        require(distinct, "acts_on", places, "at least one place, each once")
        both = {"direction", "switch"} <= set(self.acts_on)
        require(not both, "acts_on", places, "direction or switch, which includes it")


@dataclass(frozen=True)
class MixtureConfig:
    """Weights of the synthetic mixture's components, relative to each other."""

    near_uniform: float = 0.1
    """Untrained predictions: all classes nearly equal."""
    flat_dirichlet: float = 0.2
    """Predictions uniform on the simplex."""
    confident_right: float = 0.2
    """The true class leads clearly."""
    confident_wrong: float = 0.2
    """A wrong class leads clearly."""
    ambiguous: float = 0.15
    """The true class and one other share the lead."""
    graded: float = 0.15
    """The true class's probability from nearly 0 to nearly 1, evenly in logits."""

    def __post_init__(self) -> None:
        plain_numbers(self)
        for f in fields(self):
            require_number(f"mixture.{f.name}", getattr(self, f.name), 0.0)
        total = sum(getattr(self, f.name) for f in fields(self))
        require(0 < total < math.inf, "mixture", asdict(self), "at least one weight above 0")


@dataclass(frozen=True)
class ObjectiveConfig:
    """Weights of the objective's terms, and what each of them needs."""

    clean_ranking: float = 1.0
    """Weight of ranking consistency under the true label."""
    noisy_ranking: float = 0.0
    """Weight of ranking consistency in expectation over a label flipped with rate label_noise."""
    proper_ranking: float = 1.0
    """Weight of ranking consistency in expectation over a label distribution q, by KL(q||p)."""
    trainability: float = 0.0
    """Weight of 1 - mean p_y after a few normalised steps of logit descent under the loss."""
    rehearsal: float = 0.0
    """Weight of falling behind cross-entropy in rehearsal: students trained on synthetic tasks."""
    label_noise: float = 0.4
    """Rate at which noisy_ranking replaces a label by a uniformly random class."""
    own: str | None = None
    """An objective of your own in place of all these terms, FILE.py:NAME; for short --objective."""
    severity: Severity = "log_prob"
    """Order of wrongness: -log p_y, margin, squared distance, or only pairs on which all agree."""
    margin: float = 0.002
    """Width of the soft hinge, in standard deviations of the loss over the batch."""

    def __post_init__(self) -> None:
        plain_numbers(self)
        if self.own is not None:
            require(is_own(self.own), "objective", self.own, "FILE.py:NAME of your own")
        terms = ("clean_ranking", "noisy_ranking", "proper_ranking", "trainability", "rehearsal")
        for name in terms:
            require_number(f"objective.{name}", getattr(self, name), 0.0)
        orders = self.clean_ranking + self.noisy_ranking + self.proper_ranking + self.rehearsal
        require(orders > 0 or self.own is not None, "objective.clean_ranking", self.clean_ranking,
                "a ranking term or rehearsal with a weight above 0")  # fmt: skip
        require_number("objective.label_noise", self.label_noise, 0.0, 1.0)
        require_number("objective.margin", self.margin, 1e-6)
        require_one_of("objective.severity", self.severity, get_args(Severity))


@dataclass(frozen=True)
class RehearsalConfig:
    """On what candidates are rehearsed, where ``objective.rehearsal`` has a weight."""

    regimes: tuple[str, ...] = ("short_clean", "short_noisy", "middle_clean", "long_noisy")
    """Kinds of task, student and training; see :mod:`edl_jax.objective.tasks`."""
    num_tasks: int = 6
    """Tasks of each regime, drawn afresh in each generation."""
    rates: tuple[float, ...] = (0.3, 1.0)
    """Learning rates, as multiples of one that serves cross-entropy in the regime."""
    price: float = 3.0
    """The price of falling behind cross-entropy in a regime, beside its part in the mean gain."""

    def __post_init__(self) -> None:
        plain_numbers(self)
        distinct = 0 < len(self.regimes) == len(set(self.regimes))
        names = " ".join(self.regimes)
        require(distinct, "rehearsal.regimes", names, "at least one regime, each once")
        for regime in self.regimes:
            require_one_of("rehearsal.regimes", regime, REGIMES)
        require_int("rehearsal.num_tasks", self.num_tasks, 1, 100_000)
        require(len(self.rates) > 0, "rehearsal.rates", "", "at least one learning rate")
        for rate in self.rates:
            require_number("rehearsal.rates", rate, 1e-6, 1e6)
        require_number("rehearsal.price", self.price, 0.0)


@dataclass(frozen=True)
class EvolutionConfig:
    """An evolutionary search for a loss: what :func:`edl_jax.make_evolution` takes.

    >>> EvolutionConfig(population_size=0)
    Traceback (most recent call last):
    edl_jax.errors.OptionError: population_size 0: expected a whole number from 4 to 10,000,000
    """

    strategy: str = "ES"
    """Search strategy: ES, ChaoticEvolution, gradient (Adam, to compare evolution with), any
    algorithm of evosax by its name, such as CMA_ES, SNES or PSO, or FILE.py:NAME of your own."""
    strategy_options: tuple[str, ...] = ()
    """Parameters of an algorithm of evosax, each as NAME=NUMBER; a wrong name lists its own."""
    population_size: int = 64
    """Candidate losses in a generation."""
    num_generations: int = 600
    """Length of the search in generations."""
    batch_size: int = 1024
    """Synthetic prediction-label pairs in a generation, shared by all candidates."""
    num_classes: int = 10
    """Classes of the synthetic pairs; symmetric and deepset losses then serve any number."""
    more_classes: tuple[int, ...] = ()
    """Further numbers of classes to judge candidates at, each with its share of the batch."""
    network: str = "symmetric"
    """Loss network: symmetric (MLP on class-symmetric features), deepset (over classes), concat
    (the paper's MLP on [p, one-hot label]), taylor (TaylorGLO's polynomial), monotone (steps in the
    label's log-odds that pass from one shape to another as training goes on), or FILE.py:NAME of
    your own."""
    width: int = 16
    """Hidden units in each of the network's two layers; steps of monotone (taylor has none)."""
    mutation: str = "gaussian"
    """Mutation operator of ES, Open_ES and SNES: gaussian, chaotic, or FILE.py:NAME of your own."""
    chaos: ChaosConfig = field(default_factory=ChaosConfig)
    """What is chaotic about the chaotic mutation, annealing and ChaoticEvolution."""
    schedule: str = "exponential"
    """Step-size control: constant, exponential, cosine, and for ES also chaotic_annealing,
    success_rule, csa (cumulative adaptation), self_adaptation, or FILE.py:NAME of your own."""
    step_size: float = 0.1
    """Standard deviation of the first mutations of each parameter."""
    final_step_size: float = 0.01
    """Where schedules that fall end: exponential, cosine, chaotic_annealing."""
    restart_after: int = 0
    """Generations without progress after which a search starts again elsewhere; 0 never."""
    max_rise: float = 0.02
    """How far the loss may rise as the label's probability grows, as a share of its range; what
    rises further is refused at the end of a search. 1 accepts anything."""
    candidates_at_once: int = 0
    """Candidates that a device evaluates at the same time; fewer need less memory. 0 takes as many
    as fit into 512 MiB by an estimate, or into a few on a CPU, for its cache."""
    mixture: MixtureConfig = field(default_factory=MixtureConfig)
    """Weights of the synthetic mixture's components."""
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    """Weights and settings of the objective's terms."""
    rehearsal: RehearsalConfig = field(default_factory=RehearsalConfig)
    """On what candidates are rehearsed, where objective.rehearsal is above 0."""

    def __post_init__(self) -> None:
        plain_numbers(self)
        require_part("strategy", self.strategy, STRATEGIES)
        can = STRATEGIES.get(self.strategy, _ANY)
        fewest = 1 if can.follows_gradient else 4
        require_int("population_size", self.population_size, fewest, 10_000_000)
        require_int("num_generations", self.num_generations, 1, 1_000_000_000)
        require_int("batch_size", self.batch_size, 16, 100_000_000)
        require_int("num_classes", self.num_classes, 2, 1_000_000)
        for count in self.more_classes:
            require_int("more_classes", count, 2, 1_000_000)
        bound = self.network == "concat" and self.more_classes
        require(not bound, "more_classes", " ".join(map(str, self.more_classes)),
                "none with network concat, which is bound to num_classes")  # fmt: skip
        counts = 1 + len(self.more_classes)
        require(self.batch_size >= 16 * counts, "batch_size", self.batch_size,
                f"at least 16 for each of {counts} numbers of classes")  # fmt: skip
        require_int("width", self.width, 1, 65_536)
        require_int("candidates_at_once", self.candidates_at_once, 0, 10_000_000)
        require_int("restart_after", self.restart_after, 0, 1_000_000_000)
        require_number("max_rise", self.max_rise, 0.0, 1.0)
        require_number("step_size", self.step_size, 1e-9, 1e3)
        require_number("final_step_size", self.final_step_size, 1e-12, 1e3)
        require_part("network", self.network, NETWORKS)
        require_part("mutation", self.mutation, MUTATIONS)
        require_part("schedule", self.schedule, SCHEDULES)
        self._check_strategy(can)

    @property
    def named_parts(self) -> dict[str, str]:
        """By option, the names of the search's parts; an objective of your own only."""
        named = {
            "objective": self.objective.own or "",
            "strategy": self.strategy,
            "network": self.network,
            "mutation": self.mutation,
            "schedule": self.schedule,
            "map": self.chaos.map,
        }
        return {option: name for option, name in named.items() if name}

    def _check_strategy(self, can: Abilities) -> None:
        own = self.strategy
        even = self.population_size % 2 == 0 or own != "Open_ES"
        require(even, "population_size", self.population_size, f"an even number for {own}")
        none = can.takes_options or not self.strategy_options
        given = " ".join(self.strategy_options)
        require(none, "strategy_options", given, f"none with strategy {own}")
        mutable = self.mutation == "gaussian" or can.takes_mutation
        require(mutable, "mutation", self.mutation, f"gaussian with strategy {own}")
        weighted = can.recombines or "recombination" not in self.chaos.acts_on
        places = " ".join(self.chaos.acts_on)
        require(weighted, "acts_on", places, f"no recombination with {own}")
        plain = can.adapts_to_selection or self.schedule in PLAIN_SCHEDULES
        require(plain, "schedule", self.schedule,
                f"constant, exponential or cosine with strategy {own}")  # fmt: skip
        rehearsed = self.objective.own is None and self.objective.rehearsal > 0
        smooth = not (can.follows_gradient and rehearsed)
        require(smooth, "objective.rehearsal", self.objective.rehearsal,
                f"0 with strategy {own}: an accuracy has no gradient")  # fmt: skip
        movable = can.has_mean or not self.restart_after
        require(movable, "restart_after", self.restart_after, f"0 with strategy {own}")
