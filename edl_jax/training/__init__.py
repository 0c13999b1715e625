"""Training: classifiers trained with a given loss, measured, and compared seed by seed.

``train`` makes one run; everything it draws comes from its seed, whatever the loss. ``compare``
makes one for each loss and seed, and pairs them; ``tune`` chooses each loss's learning rate first.
Names are resolved on first use, so that a command checks its options without JAX.
"""

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from edl_jax.training.classifier import Classifier as Classifier
    from edl_jax.training.comparison import Comparison as Comparison
    from edl_jax.training.comparison import compare as compare
    from edl_jax.training.comparison import paired_difference as paired_difference
    from edl_jax.training.config import TrainConfig as TrainConfig
    from edl_jax.training.data import Dataset as Dataset
    from edl_jax.training.evaluation import Evaluation as Evaluation
    from edl_jax.training.evaluation import Examples as Examples
    from edl_jax.training.evaluation import evaluate as evaluate
    from edl_jax.training.evaluation import (
        expected_calibration_error as expected_calibration_error,
    )
    from edl_jax.training.loop import Midway as Midway
    from edl_jax.training.loop import TrainResult as TrainResult
    from edl_jax.training.loop import train as train
    from edl_jax.training.models import MODELS as MODELS
    from edl_jax.training.models import make_model as make_model
    from edl_jax.training.network import Model as Model
    from edl_jax.training.saved import load_classifier as load_classifier
    from edl_jax.training.saved import save_classifier as save_classifier
    from edl_jax.training.sources import load as load
    from edl_jax.training.step import StepInfo as StepInfo
    from edl_jax.training.step import TrainState as TrainState
    from edl_jax.training.step import init_state as init_state
    from edl_jax.training.step import make_train_step as make_train_step
    from edl_jax.training.step import sgd as sgd
    from edl_jax.training.subsets import for_seed as for_seed
    from edl_jax.training.tuning import Tuning as Tuning
    from edl_jax.training.tuning import tune as tune

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "classifier": ["Classifier"],
        "comparison": ["Comparison", "compare", "paired_difference"],
        "config": ["TrainConfig"],
        "data": ["Dataset"],
        "evaluation": ["Evaluation", "Examples", "evaluate", "expected_calibration_error"],
        "loop": ["Midway", "TrainResult", "train"],
        "models": ["MODELS", "make_model"],
        "network": ["Model"],
        "saved": ["load_classifier", "save_classifier"],
        "sources": ["load"],
        "step": ["StepInfo", "TrainState", "init_state", "make_train_step", "sgd"],
        "subsets": ["for_seed"],
        "tuning": ["Tuning", "tune"],
    },
)
