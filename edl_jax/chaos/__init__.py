"""Chaos: maps whose orbits stay chaotic in finite precision, their laws, and streams of values.

``MAPS`` names the maps. A stream gives a map's values in the order of its orbit, or in another.
"""

from edl_jax.chaos.laws import Law
from edl_jax.chaos.maps import MAPS, ChaoticMap
from edl_jax.chaos.streams import Stream, make_stream

__all__ = ["MAPS", "ChaoticMap", "Law", "Stream", "make_stream"]
