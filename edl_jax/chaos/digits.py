"""Random digits, several to a word: cheap where a value needs only few random bits."""

import math

import jax
import jax.numpy as jnp


def random_digits(key: jax.Array, shape: tuple[int, ...], base: int) -> jax.Array:
    """A random digit from 0 to ``base - 1``, uint32, for each element; several from a word.

    Exactly uniform and independent where ``base``, at least 2, is a power of two. Otherwise those
    that share a word are jointly so to within 2**-24 in total variation.
    """
    size, width = math.prod(shape), (base - 1).bit_length()
    binary = base == 1 << width
    count = 32 // width if binary else max(1, int(8 / math.log2(base)))
    words = jax.random.bits(key, (-(-size // count), 1), jnp.uint32)
    if binary:
        places = jnp.arange(0, count * width, width, dtype=jnp.uint32)
        digits = (words >> places[None]) & jnp.uint32(base - 1)
    else:
        # A word is a binary fraction; its digits in another base come off the top.
        fractions = words * jnp.array([[base**i for i in range(count)]], jnp.uint32)
        high, low = fractions >> 16, fractions & jnp.uint32(0xFFFF)
        digits = (high * jnp.uint32(base) + ((low * jnp.uint32(base)) >> 16)) >> 16
    return digits.reshape(-1)[:size].reshape(shape)
