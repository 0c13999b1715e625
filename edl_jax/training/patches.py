"""Networks that see an image as patches: a vision transformer, and an MLP-Mixer.

* ``VisionTransformer``, of Dosovitskiy et al., "An Image is Worth 16x16 Words" (arXiv 2010.11929):
  ``vit-tiny`` is ViT-Ti of Touvron et al. (arXiv 2012.12877), 12 layers of width 192 with 3 heads.
* ``Mixer``, of Tolstikhin et al., "MLP-Mixer" (arXiv 2105.01601), table 1: ``mixer-small`` is
  Mixer-S, 8 layers of width 512.

Patches have 16 pixels a side, as published; of images up to 64 pixels, where few would be left, 4.
Images of which they are no part are filled up with zeros. There is no dropout and no stochastic
depth. The weights of the layers start as Glorot and Bengio's, those of the head at zero.
"""

import jax
import jax.numpy as jnp
from flax import nnx

_SMALL_IMAGE = 64
_zeros = nnx.initializers.zeros_init()


def patch_size(input_shape: tuple[int, ...]) -> int:
    """Pixels a side of the patches of an image.

    >>> patch_size((32, 32, 3)), patch_size((224, 224, 3))
    (4, 16)
    """
    return 4 if max(input_shape[:2]) <= _SMALL_IMAGE else 16


class Patches(nnx.Module):
    """A linear map of each patch of an image, to ``[batch, patches, width]``."""

    def __init__(self, input_shape: tuple[int, ...], width: int, *, rngs: nnx.Rngs):
        self.size = patch_size(input_shape)
        self.number = -(-input_shape[0] // self.size) * -(-input_shape[1] // self.size)
        self.embed = nnx.Linear(self.size**2 * input_shape[2], width, rngs=rngs)

    def __call__(self, images: jax.Array) -> jax.Array:
        batch, height, width, channels = images.shape
        size = self.size
        border = ((0, 0), (0, -height % size), (0, -width % size), (0, 0))
        filled = jnp.pad(images, border)
        rows, columns = filled.shape[1] // size, filled.shape[2] // size
        patches = filled.reshape(batch, rows, size, columns, size, channels).swapaxes(2, 3)
        return self.embed(patches.reshape(batch, rows * columns, size * size * channels))


class FeedForward(nnx.Module):
    """Two linear maps of the last axis with a GELU between them."""

    def __init__(self, width: int, hidden: int, *, rngs: nnx.Rngs):
        init = nnx.initializers.xavier_uniform()
        self.first = nnx.Linear(width, hidden, kernel_init=init, rngs=rngs)
        self.second = nnx.Linear(hidden, width, kernel_init=init, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.second(nnx.gelu(self.first(x)))


class Attention(nnx.Module):
    """Self-attention with heads of 64 units, or one where the width has fewer."""

    def __init__(self, width: int, *, rngs: nnx.Rngs):
        init = nnx.initializers.xavier_uniform()
        wanted = max(1, width // 64)
        self.heads = next(n for n in range(wanted, 0, -1) if width % n == 0)
        self.inputs = nnx.Linear(width, 3 * width, kernel_init=init, rngs=rngs)
        self.outputs = nnx.Linear(width, width, kernel_init=init, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        batch, tokens, width = x.shape
        split = self.inputs(x).reshape(batch, tokens, 3, self.heads, width // self.heads)
        query, key, value = jnp.moveaxis(split, 2, 0)
        mixed = jax.nn.dot_product_attention(query, key, value)
        return self.outputs(mixed.reshape(batch, tokens, width))


class TransformerLayer(nnx.Module):
    """Attention, then a feed-forward network; each is normalised before and carried around."""

    def __init__(self, width: int, *, rngs: nnx.Rngs):
        self.first_norm = nnx.LayerNorm(width, rngs=rngs)
        self.attention = Attention(width, rngs=rngs)
        self.second_norm = nnx.LayerNorm(width, rngs=rngs)
        self.feed_forward = FeedForward(width, 4 * width, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        x = x + self.attention(self.first_norm(x))
        return x + self.feed_forward(self.second_norm(x))


class VisionTransformer(nnx.Module):
    """A vision transformer that classifies by a token of its own.

    Args:
      input_shape: height, width and channels of an image.
      num_classes: number of logits.
      width: units of a token.
      depth: number of layers.
      rngs: the key stream that the initial weights are drawn from.
    """

    def __init__(
        self,
        input_shape: tuple[int, ...],
        num_classes: int,
        width: int,
        *,
        depth: int,
        rngs: nnx.Rngs,
    ):
        self.patches = Patches(input_shape, width, rngs=rngs)
        self.token = nnx.Param(jnp.zeros((1, 1, width)))
        places = jax.random.normal(rngs.params(), (1, self.patches.number + 1, width))
        self.places = nnx.Param(0.02 * places)
        self.layers = nnx.List([TransformerLayer(width, rngs=rngs) for _ in range(depth)])
        self.norm = nnx.LayerNorm(width, rngs=rngs)
        self.head = nnx.Linear(width, num_classes, kernel_init=_zeros, rngs=rngs)

    def __call__(self, images: jax.Array, train: bool = False) -> jax.Array:
        del train  # there is nothing that training does otherwise
        patches = self.patches(images)
        token = jnp.broadcast_to(self.token[...], (len(images), 1, patches.shape[-1]))
        x = jnp.concatenate([token, patches], axis=1) + self.places[...]
        for layer in self.layers:
            x = layer(x)
        return self.head(self.norm(x)[:, 0])


class MixerLayer(nnx.Module):
    """Mixes the patches of each channel, then the channels of each patch."""

    def __init__(self, patches: int, width: int, *, rngs: nnx.Rngs):
        self.first_norm = nnx.LayerNorm(width, rngs=rngs)
        self.across_patches = FeedForward(patches, max(1, width // 2), rngs=rngs)
        self.second_norm = nnx.LayerNorm(width, rngs=rngs)
        self.across_channels = FeedForward(width, 4 * width, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        x = x + self.across_patches(self.first_norm(x).swapaxes(1, 2)).swapaxes(1, 2)
        return x + self.across_channels(self.second_norm(x))


class Mixer(nnx.Module):
    """An MLP-Mixer.

    Args:
      input_shape: height, width and channels of an image.
      num_classes: number of logits.
      width: channels of a patch; half as many mix the patches, four times as many the channels.
      depth: number of layers.
      rngs: the key stream that the initial weights are drawn from.
    """

    def __init__(
        self,
        input_shape: tuple[int, ...],
        num_classes: int,
        width: int,
        *,
        depth: int,
        rngs: nnx.Rngs,
    ):
        self.patches = Patches(input_shape, width, rngs=rngs)
        number = self.patches.number
        self.layers = nnx.List([MixerLayer(number, width, rngs=rngs) for _ in range(depth)])
        self.norm = nnx.LayerNorm(width, rngs=rngs)
        self.head = nnx.Linear(width, num_classes, kernel_init=_zeros, rngs=rngs)

    def __call__(self, images: jax.Array, train: bool = False) -> jax.Array:
        del train  # there is nothing that training does otherwise
        x = self.patches(images)
        for layer in self.layers:
            x = layer(x)
        return self.head(self.norm(x).mean(axis=1))
