KNOWN = (
    "ES",
    "ChaoticEvolution",
    "Open_ES",
    "SNES",
    "Sep_CMA_ES",
    "CMA_ES",
    "SimpleGA",
    "DifferentialEvolution",
)
"""Ours, and the algorithms of evosax that are tested most; the others: test_evosax_by_name."""
