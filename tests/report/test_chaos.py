"""The diagnostics of a map, on orbits for which they are known."""

import numpy as np

from edl_jax.chaos.maps import MAPS
from edl_jax.report.chaos import autocorrelation


def test_the_autocorrelation_of_an_orbit_of_period_two_alternates():
    law = MAPS["logistic"].law
    orbit = law.mean + np.sqrt(law.variance) * (-1.0) ** np.arange(100)
    found = autocorrelation(MAPS["logistic"], orbit[:, None].astype(np.float32))
    np.testing.assert_allclose(found, (-1.0) ** np.arange(len(found)), atol=1e-5)
