"""Typed configurations that check themselves; nothing here imports JAX."""

import math
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, get_args

from edl_jax.errors import OptionError, require, require_one_of, require_package

Network = Literal["symmetric", "deepset", "concat", "taylor"]
MutationName = Literal["gaussian", "chaotic"]
Marginal = Literal["map", "uniform", "normal"]
Dynamics = Literal["chaotic", "shuffled", "iid"]
Orbits = Literal["element", "sequence"]
ActsOn = Literal["direction", "step_size", "gene_step_size", "switch", "recombination"]
Schedule = Literal[
    "constant",
    "exponential",
    "cosine",
    "chaotic_annealing",
    "success_rule",
    "csa",
    "self_adaptation",
]
Severity = Literal["log_prob", "margin", "brier", "agree"]


def _require_number(config: Any, name: str, low: float, high: float, prefix: str = "") -> None:
    value = getattr(config, name)
    shown = f"at least {low:g}" if math.isinf(high) else f"from {low:g} to {high:g}"
    ok = isinstance(value, int | float) and math.isfinite(value) and low <= value <= high
    require(ok, prefix + name, value, f"a number {shown}")


def _require_int(config: Any, name: str, low: int, high: int) -> None:
    value = getattr(config, name)
    ok = isinstance(value, int) and low <= value <= high
    require(ok, name, value, f"a whole number from {low:,} to {high:,}")


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
        for f in fields(self):
            _require_number(self, f.name, 0.0, math.inf, "mixture.")
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
    label_noise: float = 0.4
    """Rate at which noisy_ranking replaces a label by a uniformly random class."""
    severity: Severity = "log_prob"
    """Order of wrongness: -log p_y, margin, squared distance, or only pairs on which all agree."""
    margin: float = 0.002
    """Width of the soft hinge, in standard deviations of the loss over the batch."""

    def __post_init__(self) -> None:
        for name in ("clean_ranking", "noisy_ranking", "proper_ranking", "trainability"):
            _require_number(self, name, 0.0, math.inf, "objective.")
        ranking = self.clean_ranking + self.noisy_ranking + self.proper_ranking
        require(ranking > 0, "objective.clean_ranking", self.clean_ranking,
                "a ranking term with a weight above 0")  # fmt: skip
        _require_number(self, "label_noise", 0.0, 1.0, "objective.")
        _require_number(self, "margin", 1e-6, math.inf, "objective.")
        require_one_of("objective.severity", self.severity, get_args(Severity))


@dataclass(frozen=True)
class EvolutionConfig:
    """An evolutionary search for a loss: what :func:`edl_jax.make_evolution` takes.

    >>> EvolutionConfig(population_size=0)
    Traceback (most recent call last):
    edl_jax.errors.OptionError: population_size 0: expected a whole number from 4 to 10,000,000
    """

    strategy: str = "ES"
    """Search strategy: ES and ChaoticEvolution (ours), or evosax's Open_ES, SNES, Sep_CMA_ES,
    CMA_ES, SimpleGA, DifferentialEvolution."""
    population_size: int = 64
    """Candidate losses in a generation."""
    num_generations: int = 600
    """Length of the search in generations."""
    batch_size: int = 1024
    """Synthetic prediction-label pairs in a generation, shared by all candidates."""
    num_classes: int = 10
    """Classes of the synthetic pairs; symmetric and deepset losses then serve any number."""
    network: Network = "symmetric"
    """Loss network: MLP on class-symmetric features, deep set over classes, the paper's
    MLP on [p, one-hot label], or TaylorGLO's polynomial."""
    width: int = 16
    """Hidden units in each of the network's two layers (taylor has none)."""
    mutation: MutationName = "gaussian"
    """Mutation operator of ES, Open_ES and SNES."""
    map: str = "logistic"
    """Chaotic map of the chaotic mutation, chaotic annealing and ChaoticEvolution."""
    marginal: Marginal = "map"
    """Law of chaotic directions: the map's own, or that carried to a uniform or normal one."""
    dynamics: Dynamics = "chaotic"
    """Order of the map's values: the orbit, the orbit shuffled, or independent draws."""
    orbits: Orbits = "element"
    """One orbit for each gene of each individual, or one sequence through all of them."""
    acts_on: tuple[ActsOn, ...] = ("direction",)
    """Where chaos acts: direction, step_size of each individual, gene_step_size, switch between
    chaotic and Gaussian directions, recombination weights (ES); several go together."""
    schedule: Schedule = "exponential"
    """Step-size control: constant, exponential, cosine, and for ES also chaotic_annealing,
    success_rule, csa (cumulative adaptation) and self_adaptation."""
    step_size: float = 0.1
    """Standard deviation of the first mutations of each parameter."""
    final_step_size: float = 0.01
    """Where schedules that fall end: exponential, cosine, chaotic_annealing."""
    restart_after: int = 0
    """Generations without progress after which a search begins anew; 0 never."""
    candidates_at_once: int = 0
    """Candidates that a device evaluates at the same time; fewer need less memory. 0 takes as many
    as fit into 512 MiB by an estimate, or into a few on a CPU, for its cache."""
    mixture: MixtureConfig = field(default_factory=MixtureConfig)
    """Weights of the synthetic mixture's components."""
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    """Weights and settings of the objective's terms."""

    def __post_init__(self) -> None:
        _require_int(self, "population_size", 4, 10_000_000)
        _require_int(self, "num_generations", 1, 1_000_000_000)
        _require_int(self, "batch_size", 16, 100_000_000)
        _require_int(self, "num_classes", 2, 1_000_000)
        _require_int(self, "width", 1, 65_536)
        _require_int(self, "candidates_at_once", 0, 10_000_000)
        require_one_of("strategy", self.strategy, STRATEGY_NAMES)
        require_one_of("network", self.network, get_args(Network))
        require_one_of("mutation", self.mutation, get_args(MutationName))
        require_one_of("map", self.map, MAP_NAMES)
        _require_number(self, "step_size", 1e-9, 1e3)
        _require_number(self, "final_step_size", 1e-12, 1e3)
        if self.strategy == "Open_ES" and self.population_size % 2:
            raise OptionError("population_size", self.population_size, "an even number for Open_ES")
        self._check_chaos()

    def _check_chaos(self) -> None:
        for name, of in (
            ("marginal", Marginal),
            ("dynamics", Dynamics),
            ("orbits", Orbits),
            ("schedule", Schedule),
        ):
            require_one_of(name, getattr(self, name), get_args(of))
        for place in self.acts_on:
            require_one_of("acts_on", place, get_args(ActsOn))
        places = " ".join(self.acts_on)
        distinct = 0 < len(self.acts_on) == len(set(self.acts_on))
        require(distinct, "acts_on", places, "at least one place, each once")
        both = {"direction", "switch"} <= set(self.acts_on)
        require(not both, "acts_on", places, "direction or switch, which includes it")
        _require_int(self, "restart_after", 0, 1_000_000_000)
        own = self.strategy
        mutable = self.mutation == "gaussian" or own in ("ES", "Open_ES", "SNES")
        require(mutable, "mutation", self.mutation, f"gaussian with strategy {own}")
        weights = "recombination" in self.acts_on
        require(own == "ES" or not weights, "acts_on", places, f"no recombination with {own}")
        plain = self.schedule in ("constant", "exponential", "cosine")
        require(own == "ES" or plain, "schedule", self.schedule,
                f"constant, exponential or cosine with strategy {own}")  # fmt: skip
        has_mean = own not in ("ChaoticEvolution", "SimpleGA", "DifferentialEvolution")
        require(has_mean or not self.restart_after, "restart_after", self.restart_after,
                f"0 with strategy {own}")  # fmt: skip


# Repeated here, and held against the registries by a test, so that options are checked without JAX.
STRATEGY_NAMES = (
    "ES",
    "ChaoticEvolution",
    "Open_ES",
    "SNES",
    "Sep_CMA_ES",
    "CMA_ES",
    "SimpleGA",
    "DifferentialEvolution",
)
MAP_NAMES = (
    "logistic",
    "tent",
    "bernoulli",
    "chebyshev",
    "sine",
    "gauss",
    "circle",
    "henon",
    "logistic_float32",
)


@dataclass(frozen=True)
class RunOptions:
    """Where a command keeps its run, and how it goes on with one."""

    output_dir: Path | None = None
    """Directory of the run; runs/COMMAND-DATE-TIME by default."""
    resume: bool = False
    """Go on with the run in --output-dir; the other options are then that run's."""
    overwrite: bool = False
    """Replace the run that --output-dir holds."""
    checkpoint_every: float = 60.0
    """Seconds between checkpoints; 0 is as often as possible."""
    tensorboard: bool = False
    """Write what is logged as TensorBoard event files too, into the run's directory tensorboard."""

    def __post_init__(self) -> None:
        _require_number(self, "checkpoint_every", 0.0, math.inf)
        both = self.resume and self.overwrite
        require(not both, "overwrite", "with --resume", "one of the two")
        if self.tensorboard:
            require_package("--tensorboard", "tensorboardX", "tensorboard")

    def recorded(self) -> dict[str, Any]:
        """What decides the run's outcome, JSON-serialisable: all but these options."""
        own = {f.name for f in fields(RunOptions)}
        return {
            name: str(value) if isinstance(value, Path) else value
            for name, value in asdict(self).items()
            if name not in own
        }


@dataclass(frozen=True)
class ClusterOptions(RunOptions):
    """How a command runs as several processes; none of it decides the outcome but for rounding."""

    distributed: bool = False
    """Be one of several processes that share the population, each started with the same options."""
    coordinator_address: str | None = None
    """HOST:PORT at which the first process can be reached; by default as the cluster says."""
    num_processes: int | None = None
    """How many processes there are; by default as the cluster says."""
    process_id: int | None = None
    """Which one this is, from 0; by default as the cluster says."""

    def __post_init__(self) -> None:
        super().__post_init__()
        own = {f.name: getattr(self, f.name) for f in fields(ClusterOptions)[-3:]}
        for name, value in own.items():
            require(self.distributed or value is None, name, value, "--distributed with it")
        if not self.distributed:
            return
        address, count, number = own.values()
        host, _, port = (address or "host:1").rpartition(":")
        sound = bool(host) and port.isdecimal() and 0 < int(port) < 2**16
        require(sound, "coordinator_address", address, "HOST:PORT")
        require(count is None or count >= 1, "num_processes", count, "a whole number of at least 1")
        most = "num_processes - 1" if count is None else f"{count - 1:,}"
        ok = number is None or 0 <= number < (count or math.inf)
        require(ok, "process_id", number, f"a whole number from 0 to {most}")
        require(not self.resume, "resume", "with --distributed", "one of the two: such a run "
                "writes no checkpoints; without --distributed it begins anew")  # fmt: skip
        require(self.output_dir is not None, "distributed", "without --output-dir",
                "a directory, the same for all processes")  # fmt: skip

    def recorded(self) -> dict[str, Any]:
        """What decides the run's outcome, JSON-serialisable: all but these options."""
        own = {f.name for f in fields(ClusterOptions)}
        return {name: value for name, value in super().recorded().items() if name not in own}
