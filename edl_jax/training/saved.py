"""Trained classifiers on the disk: arrays by orbax, and a JSON file that vouches for them.

Nothing in it is executed or unpickled, and no file is opened on trust: see
:mod:`edl_jax.runs.arrays`. A network of the user's own is named, and found as that of a loss is.
"""

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

import jax
import jax.numpy as jnp
import numpy as np

from edl_jax import parts
from edl_jax.errors import EdlError, cannot, one_line
from edl_jax.files import Json, path_exists, quiet_logs, read_json, user_path, write_json
from edl_jax.runs.arrays import (
    check_files,
    describe_files,
    from_numpy,
    named_leaves,
    read_arrays,
    stored_form,
    to_numpy,
    write_arrays,
)
from edl_jax.runs.checkpoint import digest
from edl_jax.runs.directory import CLASSIFIERS
from edl_jax.training.classifier import Classifier, ClassifierSpec
from edl_jax.training.config import MODELS, TrainOptions
from edl_jax.training.data import Kind
from edl_jax.training.network import Model, network

DESCRIPTION, ARRAYS = "classifier.json", "arrays"
FORMAT, FORMAT_VERSION = "edl_jax-classifier", 1
_MOST_BYTES = 16 * 2**20


def save_classifier(
    classifier: Classifier, path: str | Path, made: Mapping[str, object] | None = None
) -> None:
    """Write a trained classifier as the new directory ``path``; all of it, or nothing.

    Args:
      classifier: the one of :class:`edl_jax.training.loop.TrainResult`.
      path: the directory.
      made: how it was made, JSON-serialisable.

    Raises:
      EdlError: there is something at ``path``, or it cannot be written.
    """
    path = user_path(path)
    if path_exists(path):
        raise EdlError(f"{path}: expected a directory that does not exist yet")
    unfinished = path.with_name(f".{path.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    try:
        unfinished.mkdir(parents=True)
        leaves = named_leaves(_state(classifier))
        write_arrays(unfinished / ARRAYS, {name: to_numpy(leaf) for name, leaf in leaves.items()})
        content: Json = {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            **asdict(classifier.spec),
            "statistics_shape": list(classifier.mean.shape),
            "made": dict(made or {}),
            "files": dict(describe_files(unfinished / ARRAYS)),
        }
        # As it is read again: a tuple is a list then.
        content = {**content, "shape": list(content["shape"])}
        content["class_names"] = list(content["class_names"])
        write_json(unfinished / DESCRIPTION, {**content, "sha256": digest(content)})
        unfinished.rename(path)
    except Exception as error:  # orbax reports a full disk by more than one type
        shutil.rmtree(unfinished, ignore_errors=True)
        if isinstance(error, EdlError):
            raise
        raise EdlError(f"cannot write classifier {path}: {one_line(error)}") from error


def load_classifier(
    source: str | Path,
    loss: str | None = None,
    seed: int | None = None,
    model: Model | None = None,
) -> Classifier:
    """Load a classifier that ``transfer --save-model`` or :func:`save_classifier` has written.

    Args:
      source: the run's directory, or that of one classifier.
      loss, seed: which of the run's classifiers, where it has several: the one that was trained
        with this loss, as the command was given it, and this seed.
      model: the network, if it is one of your own. By default that is looked for in the file that
        the classifier names, which is run if it is in the current directory or below it and has not
        changed.

    Raises:
      EdlError: there is no such classifier, or more than one; a file is damaged; or the network is
        not there.

    Example::

      classifier = load_classifier("runs/transfer-20260101-120000", loss="edl-robust")
      classifier.predict(images)  # [N], as they are in the data set
    """
    path = user_path(source)
    if path_exists(path / DESCRIPTION):
        return _load(path, _read_description(path), model)
    found = [(place, _read_description(place)) for place in _places(path)]
    if not found:
        raise EdlError(f"{source}: expected the directory of a run of transfer --save-model")
    wanted = {"loss": loss, "seed": seed}
    wanted = {name: value for name, value in wanted.items() if value is not None}
    chosen = [(place, said) for place, said in found if wanted.items() <= said["made"].items()]
    if len(chosen) != 1:
        have = "; ".join(f"loss {said['made'].get('loss')!r}, seed {said['made'].get('seed')}"
                         for _, said in found)  # fmt: skip
        raise EdlError(f"{source}: expected loss and seed of one of its classifiers: {have}")
    return _load(*chosen[0], model)


def _places(path: Path) -> Iterator[Path]:
    try:
        found = sorted((path / CLASSIFIERS).iterdir())
    except OSError:
        return
    yield from (place for place in found if path_exists(place / DESCRIPTION))


def _state(classifier: Classifier) -> dict[str, Any]:
    names = ("params", "model_state", "mean", "std")
    return {name: getattr(classifier, name) for name in names}


def _read_description(path: Path) -> Json:
    file = path / DESCRIPTION
    content = read_json(file, _MOST_BYTES)
    if content.get("format") != FORMAT or content.get("format_version") != FORMAT_VERSION:
        raise EdlError(f"{file}: not a classifier of edl_jax, of version {FORMAT_VERSION}")
    if content.pop("sha256", None) != digest(content):
        raise EdlError(f"{file}: checksum does not match: the file is damaged")
    if not (isinstance(content.get("made"), dict) and isinstance(content.get("files"), dict)):
        raise EdlError(f"{file}: lacks or garbles an entry")
    return content


def _load(path: Path, content: Json, model: Model | None) -> Classifier:
    try:
        spec = _spec(content)
        if model is None and spec.model not in MODELS:
            model = parts.recorded("model", spec.model, spec.model_sha256, "load_classifier")
        options = TrainOptions(
            model=spec.model if spec.model in MODELS else "mlp", width=spec.width
        )
        graphdef, arrays = network(options, model, spec.shape, spec.num_classes)
        # Nothing is allocated before the files are known to have the sizes that the spec calls for.
        statistic = jax.ShapeDtypeStruct(_statistics_shape(content, spec), jnp.float32)
        others = {"mean": statistic, "std": statistic}
        params, model_state = jax.eval_shape(arrays, jax.random.key(0))
        like = {"params": params, "model_state": model_state, **others}
        found = _read_leaves(path / ARRAYS, content["files"], like)
        params, model_state = arrays(jax.random.key(0))
        like = {"params": params, "model_state": model_state, **others}
        leaves = [from_numpy(found[name], leaf) for name, leaf in named_leaves(like).items()]
        state = jax.tree.unflatten(jax.tree.structure(like), leaves)
    except EdlError as error:
        raise EdlError(f"{path}: {error}" if str(path) not in str(error) else str(error)) from None
    except OSError as error:
        raise cannot("read", path, error) from None
    except Exception as error:  # JSON, orbax and TensorStore raise many kinds for a damaged file
        raise EdlError(f"{path}: damaged, or not a classifier ({one_line(error)})") from None
    return Classifier(graphdef, spec=spec, **state)


def _spec(content: Json) -> ClassifierSpec:
    fields = {name: content[name] for name in ClassifierSpec.__dataclass_fields__}
    fields["shape"] = tuple(map(int, fields["shape"]))
    fields["class_names"] = tuple(map(str, fields["class_names"]))
    spec = ClassifierSpec(**fields)
    known = {"kind": get_args(Kind), "dtype": ("uint8", "int32", "float32")}
    for name, values in known.items():
        if getattr(spec, name) not in values:
            raise EdlError(f"{name} {getattr(spec, name)!r}: expected one of {', '.join(values)}")
    if type(spec.num_classes) is not int or spec.num_classes < 2 or min(spec.shape) < 1:
        raise EdlError(f"{spec.num_classes} classes, examples {list(spec.shape)}: no such network")
    if spec.class_names and len(spec.class_names) != spec.num_classes:
        raise EdlError(f"{len(spec.class_names)} class names for {spec.num_classes} classes")
    return spec


def _statistics_shape(content: Json, spec: ClassifierSpec) -> tuple[int, ...]:
    shape = tuple(map(int, content["statistics_shape"]))
    if shape not in (spec.shape[-1:], spec.shape, (1,)):
        raise EdlError(f"statistics of shape {list(shape)} for examples {list(spec.shape)}")
    return shape


def _read_leaves(root: Path, files: Mapping[str, Any], like: Any) -> dict[str, np.ndarray]:
    forms = {name: stored_form(leaf) for name, leaf in named_leaves(like).items()}
    with quiet_logs():
        check_files(root, files, forms)
        found = read_arrays(root, forms)
    for name, form in forms.items():
        if (found[name].shape, found[name].dtype) != (form.shape, form.dtype):
            raise EdlError(f"{root}: array {name} is not of the shape and type it should be")
    return found
