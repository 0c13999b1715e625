"""The curves and surfaces of cross-entropy are what is known in closed form."""

import numpy as np

from edl_jax.losses.handmade import LOSSES
from edl_jax.report.shapes import profiles, surface


def test_the_surface_of_cross_entropy_is_minus_log_p():
    panel = surface({"ce": LOSSES["cross_entropy"]}, {"ce": 4})
    for trace in panel.figure.data:
        x, y, z = (np.asarray(getattr(trace, axis), np.float64) for axis in "xyz")
        np.testing.assert_allclose(z - z[0, -1], np.log(x[0, -1] / x), atol=1e-4)
        assert (x + y <= 1).all() and (y >= (1 - x) / 3 - 1e-6).all()
    assert surface({"ce": LOSSES["cross_entropy"]}, {"ce": 2}) is None


def test_the_profile_of_cross_entropy_is_p_less_one():
    gradient, value = profiles({"mine": LOSSES["cross_entropy"]}, {"mine": 5})
    for curve in gradient.figure.data:
        np.testing.assert_allclose(curve.y, curve.customdata - 1, atol=1e-4)
    for curve in value.figure.data:
        np.testing.assert_allclose(curve.y, -np.log(curve.customdata), atol=1e-2)
