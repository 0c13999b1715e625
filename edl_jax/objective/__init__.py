"""The objective: what makes a loss good, judged on synthetic predictions and labels, without data.

Pairs are drawn here, losses are ranked and rehearsed on them, and a loss's properties measured
and certified.
"""

from edl_jax.objective.certificates import (
    Certificates,
    certify,
    excess_risk_bound,
    label_sum_spread,
)
from edl_jax.objective.fitness import Generation, Objective, make_objective
from edl_jax.objective.properties import Properties, loss_profile, measure_properties
from edl_jax.objective.ranking import (
    HeldOut,
    held_out,
    rank_agreement,
    ranking_penalty,
    severities,
)
from edl_jax.objective.synthetic import COMPONENTS, Pairs, sample_pairs
from edl_jax.objective.terms import (
    TERMS,
    Candidate,
    Problem,
    noisy_losses,
    sample_problem,
)

__all__ = [
    "COMPONENTS",
    "TERMS",
    "Candidate",
    "Certificates",
    "Generation",
    "HeldOut",
    "Objective",
    "Pairs",
    "Problem",
    "Properties",
    "certify",
    "excess_risk_bound",
    "held_out",
    "label_sum_spread",
    "loss_profile",
    "make_objective",
    "measure_properties",
    "noisy_losses",
    "rank_agreement",
    "ranking_penalty",
    "sample_pairs",
    "sample_problem",
    "severities",
]
