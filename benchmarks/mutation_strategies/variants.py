"""The searches that ``mutation_strategies`` compares: an operator, where it acts, its strategy."""

from dataclasses import asdict, dataclass, fields
from typing import Any

from edl_jax import config


@dataclass(frozen=True)
class Variant:
    """One search; the fields are named as the options of ``python -m edl_jax.pretrain``."""

    operator: str = "chaotic"
    map: str = "logistic"
    marginal: config.Marginal = "map"
    dynamics: config.Dynamics = "chaotic"
    acts_on: tuple[config.ActsOn, ...] = ("direction",)
    orbits: config.Orbits = "element"
    schedule: str = "exponential"
    strategy: str = "ES"

    def row(self) -> dict[str, Any]:
        """The fields, JSON-serialisable; None where they have no meaning."""
        fields = asdict(self)
        fields["acts_on"] = "+".join(self.acts_on)
        if self.operator == "gaussian":
            fields |= {"acts_on": None, "orbits": None, "marginal": None}
            if self.schedule != "chaotic_annealing":
                fields |= {"map": None, "dynamics": None}
        return fields

    @property
    def name(self) -> str:
        """A name that sets it apart from the first of its kind, in a few words."""
        usual = Variant(operator=self.operator)
        parts = [self.strategy] if self.strategy != "ES" else []
        parts += ["Gaussian"] if self.operator == "gaussian" and self != GRADIENT else []
        if self.operator == "chaotic" and self.strategy != "ChaoticEvolution":
            parts.append(" + ".join(self.acts_on).replace("_", " "))
        parts += [self.schedule.replace("_", " ")] * (self.schedule != usual.schedule)
        parts += [self.map] * (self.map != usual.map)
        parts += [f"{self.marginal} marginal"] * (self.marginal != usual.marginal)
        parts += [self.dynamics] * (self.dynamics != usual.dynamics)
        parts += ["one sequence"] * (self.orbits != usual.orbits)
        return ", ".join(parts)


FIELDS = tuple(field.name for field in fields(Variant))
GAUSSIAN = Variant("gaussian")
# No mutation at all: what evolution is compared with where the objective can be differentiated.
GRADIENT = Variant("gaussian", strategy="gradient")
DYNAMICS: tuple[config.Dynamics, ...] = ("chaotic", "iid", "shuffled")

# Marginal and dynamics, where the paper puts chaos.
DIRECTION = [
    Variant(marginal=m, dynamics=d) for m in ("map", "uniform", "normal") for d in DYNAMICS
]
# Where else it can act, against the same law without its order.
PLACES = [
    Variant(acts_on=places, dynamics=dynamics)
    for places in (
        ("step_size",),
        ("gene_step_size",),
        ("switch",),
        ("recombination",),
        ("direction", "step_size"),
        ("step_size", "gene_step_size"),
    )
    for dynamics in ("chaotic", "iid")
]
SEQUENCES = [Variant(orbits="sequence"), Variant(orbits="sequence", marginal="normal")]
MAPS = [Variant(map=name) for name in config.MAPS if name != "logistic"]
SCHEDULES = [
    *(Variant("gaussian", schedule="chaotic_annealing", dynamics=d) for d in ("chaotic", "iid")),
    *(
        Variant(operator, schedule=schedule)
        for schedule in ("csa", "success_rule", "self_adaptation")
        for operator in ("gaussian", "chaotic")
    ),
]
STRATEGIES = [
    *(Variant(o, strategy=s) for s in ("Open_ES", "SNES") for o in ("gaussian", "chaotic")),
    *(Variant(strategy="ChaoticEvolution", dynamics=d) for d in ("chaotic", "iid")),
]

CHAOTIC_EVOLUTION = STRATEGIES[-2:]
CORE = [GAUSSIAN, *DIRECTION, *PLACES, *CHAOTIC_EVOLUTION]
ALL = [GAUSSIAN, *DIRECTION, *PLACES, *SEQUENCES, *MAPS, *SCHEDULES, *STRATEGIES, GRADIENT]
# Where a generation takes long: the places that the papers name, each with its control.
FEW = [
    GAUSSIAN,
    *(Variant(dynamics=d) for d in ("chaotic", "iid")),
    *(Variant(acts_on=("step_size",), dynamics=d) for d in ("chaotic", "iid")),
    *CHAOTIC_EVOLUTION,
    GRADIENT,
]
