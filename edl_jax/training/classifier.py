"""A trained network that takes examples as they came, and says what it takes them for."""

from dataclasses import dataclass
from functools import partial

import jax
import numpy as np
from flax import nnx
from numpy.typing import ArrayLike

from edl_jax import parts
from edl_jax.errors import EdlError
from edl_jax.training.config import TrainOptions
from edl_jax.training.data import Dataset, Kind, read_inputs
from edl_jax.training.network import GraphDef, Model, PyTree, forward
from edl_jax.training.pixels import normalize, unit_of

_BATCH = 512


@dataclass(frozen=True)
class ClassifierSpec:
    """Which network a classifier has, and what examples it was trained on; JSON-serialisable.

    Attributes:
      model: name of the network, of the user's file ``FILE.py:NAME`` that makes it, or of the class
        of a module.
      width: as for :class:`edl_jax.training.config.TrainConfig`.
      model_sha256: of the user's file; empty where there is none.
      kind: ``"images"`` or ``"features"``.
      shape: of an example.
      dtype: of the training examples: uint8, int32 or float32.
      num_classes: number of classes K.
      class_names: of the K classes; may be empty.
    """

    model: str
    width: int | None
    model_sha256: str
    kind: Kind
    shape: tuple[int, ...]
    dtype: str
    num_classes: int
    class_names: tuple[str, ...] = ()

    @classmethod
    def of(cls, dataset: Dataset, config: TrainOptions, model: Model | None) -> "ClassifierSpec":
        """The one of what is trained on a data set."""
        made_by = type(model) if isinstance(model, nnx.Module) else model
        source = parts.source(config.model if made_by is None else made_by)
        return cls(
            config.model if source is None else source.name,
            config.width,
            "" if source is None else source.sha256,
            dataset.kind or "images",
            dataset.input_shape,
            str(dataset.train_images.dtype),
            dataset.num_classes,
            dataset.class_names,
        )


@dataclass(frozen=True, eq=False)
class Classifier:
    """A trained network, with the normalisation that it was trained under.

    Attributes:
      graphdef: the network's structure; ``nnx.merge(graphdef, params, model_state)`` is the module,
        which takes examples that are normalised already.
      params, model_state: its arrays.
      mean, std: float32, of the training examples.
      spec: which network it is, and what examples it takes.

    >>> from edl_jax.losses import LOSSES
    >>> from edl_jax.training import Dataset, TrainConfig, train
    >>> labels = np.arange(64) % 2
    >>> dataset = Dataset.from_arrays(labels[:, None] + 0.5, labels)
    >>> config = TrainConfig(model="mlp", width=8, epochs=20, batch_size=16)
    >>> result = train(dataset, LOSSES["cross_entropy"], config, seed=0)
    >>> result.classifier.predict([[0.5], [1.5]]).tolist()
    [0, 1]
    """

    graphdef: GraphDef
    params: PyTree
    model_state: PyTree
    mean: jax.Array
    std: jax.Array
    spec: ClassifierSpec

    def logits(self, inputs: ArrayLike) -> np.ndarray:
        """Float32 logits ``[N, K]`` of examples ``[N, ...]``.

        Args:
          inputs: examples like those of the training set, which were not normalised. Images may be
            uint8, or float from 0 to 1, whichever the training images were.

        Raises:
          EdlError: they are not like them; one line says what would be right.
        """
        given = read_inputs("given", self.spec.kind, inputs)
        if given.shape[1:] != self.spec.shape:
            raise EdlError(
                f"given {self.spec.kind} of shape {list(given.shape)}: expected that of the "
                f"training ones, {['N', *self.spec.shape]}"
            )
        images = self.spec.kind == "images"
        unit = unit_of(given.dtype if images else np.dtype(self.spec.dtype))
        found = [
            self._batch(np.asarray(given[start : start + _BATCH]), unit)
            for start in range(0, len(given), _BATCH)
        ]
        return np.concatenate(found)

    def _batch(self, part: np.ndarray, unit: int) -> np.ndarray:
        # Of a power of two, so that few programs serve all numbers of examples.
        filled = np.zeros((1 << (len(part) - 1).bit_length(), *part.shape[1:]), part.dtype)
        filled[: len(part)] = part
        arrays = self.params, self.model_state, self.mean, self.std
        return np.asarray(_logits(*arrays, filled, graphdef=self.graphdef, unit=unit))[: len(part)]

    def predict_probs(self, inputs: ArrayLike) -> np.ndarray:
        """Float32 probabilities ``[N, K]`` of the classes; see :meth:`logits`."""
        return np.asarray(jax.nn.softmax(self.logits(inputs)))

    def predict(self, inputs: ArrayLike) -> np.ndarray:
        """The most probable class of each example, int32 ``[N]``; see :meth:`logits`."""
        return self.logits(inputs).argmax(-1).astype(np.int32)


@partial(jax.jit, static_argnames=("graphdef", "unit"))
def _logits(
    params: PyTree,
    model_state: PyTree,
    mean: jax.Array,
    std: jax.Array,
    inputs: jax.Array,
    *,
    graphdef: GraphDef,
    unit: int,
) -> jax.Array:
    normal = normalize(inputs, mean, std, unit)
    return forward(graphdef, params, model_state, normal, train=False)[0]
