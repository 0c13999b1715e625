"""The objective: what makes a loss good, judged on synthetic predictions and labels, without data.

Pairs are drawn here, losses are ranked and rehearsed on them, and a loss's properties measured.
"""

from edl_jax.objective.properties import Properties, loss_profile, measure_properties
from edl_jax.objective.ranking import (
    HeldOut,
    held_out,
    rank_agreement,
    ranking_penalty,
    severities,
)
from edl_jax.objective.rehearsal import rehearse
from edl_jax.objective.synthetic import COMPONENTS, Pairs, sample_pairs
from edl_jax.objective.terms import (
    TERMS,
    Candidate,
    Objective,
    Problem,
    make_objective,
    noisy_losses,
    sample_problem,
)

__all__ = [
    "COMPONENTS",
    "TERMS",
    "Candidate",
    "HeldOut",
    "Objective",
    "Pairs",
    "Problem",
    "Properties",
    "held_out",
    "loss_profile",
    "make_objective",
    "measure_properties",
    "noisy_losses",
    "rank_agreement",
    "ranking_penalty",
    "rehearse",
    "sample_pairs",
    "sample_problem",
    "severities",
]
