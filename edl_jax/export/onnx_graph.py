"""A learned loss as an ONNX graph, for runtimes that have neither JAX nor PyTorch.

Its inputs are ``logits``, float32 (batch, classes), and ``labels``: int64 class ids (batch), or
float32 class weights (batch, classes). Its output is ``losses``, float32 (batch), unreduced. The
steps are those of :mod:`edl_jax.torch.learned_loss`: a network works on L labels of each example at
once, the one given, or, for class weights, every one. There is no gradient in it: what trains with
ONNX graphs derives gradients itself. A loss that reads how far training has come takes it from the
examples of the call.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import numpy as np
import onnx
from onnx import helper, numpy_helper

from edl_jax.losses import monotone
from edl_jax.losses.features import LOG_RESOLUTION, LOG_SCALE, MIN_LOG_PROB
from edl_jax.losses.learned import LearnedLoss

OPSET, IR_VERSION = 18, 8  # both of ONNX 1.13 (2022)
FLOAT, INT64 = onnx.TensorProto.FLOAT, onnx.TensorProto.INT64
Name = str
Params = Mapping[str, np.ndarray]
Input = Name | float | list[int] | np.ndarray | np.generic


class _Op(Protocol):
    """Adds a node of one kind."""

    def __call__(self, *inputs: Input, **attributes: int) -> Name: ...


class _Ops:
    """A graph that grows: ``ops.Exp(x)`` adds a node and gives the name of its output.

    An input is such a name, or a number or array, which becomes a float32 or int64 constant.
    """

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def __getattr__(self, op: str) -> _Op:
        def add(*inputs: Input, **attributes: Any) -> Name:
            names = [x if isinstance(x, str) else self._constant(x) for x in inputs]
            output = f"{op}_{len(self.nodes)}"
            self.nodes.append(helper.make_node(op, names, [output], **attributes))
            return output

        return add

    def _constant(self, value: float | list[int] | np.ndarray | np.generic) -> Name:
        array = np.asarray(value)
        array = array.astype(np.int64 if array.dtype.kind == "i" else np.float32)
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(array, name))
        return name


def make_model(
    loss: LearnedLoss, num_classes: int | None = None, soft_labels: bool = False
) -> onnx.ModelProto:
    """The ONNX model of ``loss``, checked.

    Args:
      loss: a learned loss.
      num_classes: fixes the number of classes; ``None`` leaves it open.
      soft_labels: labels are class weights instead of class ids.

    >>> from edl_jax.losses import load_loss
    >>> [given.name for given in make_model(load_loss("edl-base")).graph.input]
    ['logits', 'labels']
    """
    ops = _Ops()
    losses = _losses(ops, loss, soft_labels)
    ops.nodes.append(helper.make_node("Identity", [losses], ["losses"]))
    shape = ["batch", num_classes or "classes"]
    graph = helper.make_graph(
        ops.nodes,
        "learned_loss",
        [
            helper.make_tensor_value_info("logits", FLOAT, shape),
            helper.make_tensor_value_info("labels", FLOAT, shape)
            if soft_labels
            else helper.make_tensor_value_info("labels", INT64, ["batch"]),
        ],
        [helper.make_tensor_value_info("losses", FLOAT, ["batch"])],
        ops.constants,
    )
    opset = helper.make_opsetid("", OPSET)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION)
    onnx.checker.check_model(model, full_check=True)
    return model


def _losses(ops: _Ops, loss: LearnedLoss, soft_labels: bool) -> Name:
    # A row without any class is a uniform one until its loss is masked.
    top = ops.ReduceMax("logits", [-1], keepdims=1)
    empty = ops.Equal(top, -np.inf)
    logits = ops.Where(empty, 0.0, "logits")
    num_classes = ops.Gather(ops.Shape("logits"), 1)
    classes = ops.Range(0, num_classes, 1)
    log_p = ops.Max(_log_softmax(ops, logits, classes), MIN_LOG_PROB)
    if soft_labels:
        known = None
        y = ops.Expand(ops.Unsqueeze(classes, [0]), ops.Shape("logits"))
    else:
        y = ops.Unsqueeze("labels", [-1])
        known = ops.And(ops.GreaterOrEqual(y, 0), ops.Less(y, num_classes))
        y = ops.Where(known, y, 0)
    params = {name: np.asarray(array) for name, array in loss.params.items()}
    if loss.spec.name == "monotone":
        context = _context(ops, classes, soft_labels)
        losses = _monotone(ops, params, log_p, y, classes, context)
    else:
        losses = _NETWORKS[loss.spec.name](ops, params, log_p, y, classes)
    losses = ops.Mul(losses, float(loss.scale))
    absent = ops.Equal(ops.GatherElements("logits", y, axis=1), -np.inf)
    if known is None:
        losses = ops.Mul(ops.Where(absent, 0.0, "labels"), losses)
    else:
        losses = ops.Where(absent, 0.0, losses)
        losses = ops.Where(ops.Or(known, empty), losses, np.nan)
    return ops.ReduceSum(losses, [-1], keepdims=0)


def _log_softmax(ops: _Ops, logits: Name, classes: Name) -> Name:
    top = ops.ArgMax(logits, axis=-1, keepdims=1)
    shifted = ops.Sub(logits, ops.GatherElements(logits, top, axis=1))
    others = ops.Where(ops.Equal(classes, top), 0.0, ops.Exp(shifted))
    others = ops.ReduceSum(others, [-1], keepdims=1)
    return ops.Sub(shifted, ops.Log(ops.Add(others, 1.0)))


def _context(ops: _Ops, classes: Name, soft_labels: bool) -> list[Name]:
    """The three scalars of :func:`edl_jax.losses.context.batch_context`."""
    absent = ops.Equal("logits", -np.inf)
    given = "labels" if soft_labels else ops.Equal(ops.Unsqueeze("labels", [-1]), classes)
    weights = ops.Where(absent, 0.0, ops.Cast(given, to=FLOAT))
    total = ops.ReduceSum(weights, [-1])
    number = ops.ReduceSum(ops.Cast(ops.Not(absent), to=FLOAT), [-1])
    sound = ops.Or(ops.Less(ops.Abs("logits"), np.inf), absent)
    counted = ops.And(ops.Greater(number, 1.0), ops.Greater(total, 0.0))
    counted = ops.And(counted, ops.Equal(ops.ReduceMin(ops.Cast(sound, to=FLOAT), [-1]), 1.0))
    count = ops.Max(ops.ReduceSum(ops.Cast(counted, to=FLOAT), keepdims=0), 1.0)
    p = ops.Softmax(ops.Where(counted, "logits", 0.0), axis=-1)
    p_y = ops.Div(ops.ReduceSum(ops.Mul(weights, p), [-1]), ops.Where(counted, total, 1.0))
    chance = ops.Div(1.0, ops.Max(number, 2.0))

    def mean(values: Name) -> Name:
        return ops.Div(ops.ReduceSum(ops.Where(counted, values, 0.0), keepdims=0), count)

    def relative(probability: Name) -> Name:
        return mean(ops.Div(ops.Sub(probability, chance), ops.Sub(1.0, chance)))

    distance = ops.Sub(p_y, mean(p_y))
    spread = ops.Mul(2.0, ops.Sqrt(mean(ops.Mul(distance, distance))))
    return [relative(ops.ReduceMax(p, [-1])), relative(p_y), spread]


def _log_rival(ops: _Ops, log_p: Name, y: Name, classes: Name) -> Name:
    """Log-probability of the most probable class but the label."""
    top_class = ops.ArgMax(log_p, axis=-1, keepdims=1)
    top = ops.GatherElements(log_p, top_class, axis=1)
    others = ops.Where(ops.Equal(classes, top_class), 2 * MIN_LOG_PROB, log_p)
    return ops.Where(ops.Equal(y, top_class), ops.ReduceMax(others, [-1]), top)


def _log_rest(ops: _Ops, log_p: Name, log_p_y: Name, y: Name, classes: Name) -> Name:
    """log(1 - p_y), exact also where p_y is 1 to float precision."""
    top_class = ops.ArgMax(log_p, axis=-1, keepdims=1)
    others = ops.Where(ops.Equal(classes, top_class), 2 * MIN_LOG_PROB, log_p)
    second = ops.ReduceMax(others, [-1])
    rest_of_top = ops.Log(ops.ReduceSum(ops.Exp(ops.Sub(others, second)), [-1]))
    # Any other class has p <= 1/2. The bound only keeps infinity out of the branch not taken.
    rest_of_others = ops.Log(ops.Sub(1.0, ops.Exp(ops.Min(log_p_y, -0.5))))
    return ops.Where(ops.Equal(y, top_class), ops.Add(rest_of_top, second), rest_of_others)


def _activation(ops: _Ops, x: Name) -> Name:
    return ops.Div(x, ops.Sqrt(ops.Add(ops.Mul(x, x), 1.0)))


def _mlp(ops: _Ops, params: Params, x: Name) -> Name:
    for i in range(3):
        x = ops.Add(ops.MatMul(x, params[f"mlp/{i}/weights"]), params[f"mlp/{i}/biases"])
        x = _activation(ops, x) if i < 2 else ops.Softplus(x)
    return ops.Squeeze(x, [-1])


# Each network takes log-probabilities (batch, classes) and labels (batch, L), and gives the loss
# under each label, (batch, L).


def _symmetric(ops: _Ops, params: Params, log_p: Name, y: Name, classes: Name) -> Name:
    p = ops.Exp(log_p)
    log_p_y = ops.GatherElements(log_p, y, axis=1)
    log_other = _log_rival(ops, log_p, y, classes)
    features = (
        ops.Exp(log_p_y),
        ops.Exp(log_other),
        ops.Div(ops.Max(log_p_y, LOG_RESOLUTION), LOG_SCALE),
        ops.Div(ops.Max(log_other, LOG_RESOLUTION), LOG_SCALE),
        ops.Expand(ops.Neg(ops.ReduceSum(ops.Mul(p, log_p), [-1])), ops.Shape(y)),
        ops.Expand(ops.ReduceSum(ops.Mul(p, p), [-1]), ops.Shape(y)),
    )
    return _mlp(ops, params, ops.Concat(*(ops.Unsqueeze(f, [-1]) for f in features), axis=-1))


def _deepset(ops: _Ops, params: Params, log_p: Name, y: Name, classes: Name) -> Name:
    weights, biases = params["class/weights"], params["class/biases"]
    of_p = ops.Add(ops.Mul(ops.Unsqueeze(ops.Exp(log_p), [-1]), weights[0]), biases)
    of_zero = biases / np.sqrt(1 + np.square(biases))
    every = ops.ReduceSum(ops.Sub(_activation(ops, of_p), of_zero), [-2], keepdims=1)
    log_p_y = ops.Unsqueeze(ops.GatherElements(log_p, y, axis=1), [-1])
    p_y = ops.Exp(log_p_y)
    # The label's own features are (p, 1, p, log p / LOG_SCALE).
    of_label = ops.Mul(p_y, weights[0] + weights[2])
    floored = ops.Max(log_p_y, LOG_RESOLUTION)
    of_label = ops.Add(of_label, ops.Mul(floored, weights[3] / LOG_SCALE))
    of_label = _activation(ops, ops.Add(of_label, weights[1] + biases))
    without = _activation(ops, ops.Add(ops.Mul(p_y, weights[0]), biases))
    return _mlp(ops, params, ops.Add(every, ops.Sub(of_label, without)))


def _concat(ops: _Ops, params: Params, log_p: Name, y: Name, classes: Name) -> Name:
    one_hot = ops.Cast(ops.Equal(ops.Unsqueeze(y, [-1]), classes), to=FLOAT)
    p = ops.Expand(ops.Unsqueeze(ops.Exp(log_p), [-2]), ops.Shape(one_hot))
    return _mlp(ops, params, ops.Concat(p, one_hot, axis=-1))


def _taylor(ops: _Ops, params: Params, log_p: Name, y: Name, classes: Name) -> Name:
    theta = params["theta"]

    def polynomial(y: float, p: Name) -> Name:
        y_shift, p_shift = y - theta[0], ops.Sub(p, theta[1])
        linear = theta[2] + theta[5] * y_shift + theta[7] * y_shift**2 / 2
        quadratic = theta[3] / 2 + theta[6] * y_shift / 2
        value = ops.Add(ops.Mul(p_shift, theta[4] / 6), quadratic)
        return ops.Mul(p_shift, ops.Add(ops.Mul(p_shift, value), linear))

    p = ops.Where(ops.LessOrEqual(log_p, MIN_LOG_PROB), theta[1], ops.Exp(log_p))
    p_y = ops.Exp(ops.GatherElements(log_p, y, axis=1))
    others = ops.Sub(ops.ReduceSum(polynomial(0.0, p), [-1]), polynomial(0.0, p_y))
    return ops.Neg(ops.Add(others, polynomial(1.0, p_y)))


def _monotone(
    ops: _Ops, params: Params, log_p: Name, y: Name, classes: Name, context: list[Name]
) -> Name:
    log_p_y = ops.GatherElements(log_p, y, axis=1)
    log_rest = _log_rest(ops, log_p, log_p_y, y, classes)
    present = ops.Greater(log_p, MIN_LOG_PROB)
    number = ops.Max(ops.ReduceSum(ops.Cast(present, to=FLOAT), [-1]), 1.0)
    others = ops.Max(ops.Sub(number, 1.0), 1.0)
    share = ops.Exp(ops.Min(ops.Sub(_log_rival(ops, log_p, y, classes), log_rest), 0.0))
    rival = ops.Sub(ops.Mul(share, others), 1.0)
    rival = ops.Div(rival, ops.Max(ops.Sub(others, 1.0), 1.0))
    floored = ops.Where(present, ops.Max(log_p, LOG_RESOLUTION), 0.0)
    smoothing = ops.Neg(ops.Div(ops.ReduceSum(floored, [-1]), number))
    smoothing = ops.Sub(smoothing, ops.Log(number))

    before, after = (np.logaddexp(0, params[f"steps/{i}"]) for i in ("before", "after"))
    width = monotone.LEAST_WIDTH + np.logaddexp(0, params["steps/width"])
    place = monotone.MOST_LOG_ODDS * np.tanh(params["steps/place"] / 3)
    relative = np.exp(-np.logaddexp(0, -params["steps/relative"]))
    offset = ops.Sub(ops.Mul(ops.Unsqueeze(ops.Log(others), [-1]), relative), place)
    log_loss = np.logaddexp(0, params["log_loss/after"][0])
    low, high = monotone.SMOOTHING_SHARE * np.maximum(params["smoothing"], 0)
    threshold = np.exp(-np.logaddexp(0, -params["gate/threshold"][0]))
    weights = params["gate/weights"]
    weights = weights / np.maximum(np.sum(np.abs(weights)), 1e-6)

    def gate(context: Iterable[Input]) -> Name:
        opened: Input = -threshold
        for weight, value in zip(weights, context, strict=True):
            opened = ops.Add(opened, ops.Mul(weight, value))
        return ops.Sigmoid(ops.Mul(opened, monotone.GATE_SHARPNESS))

    def passing(opened: Name, before: Input, after: Input) -> Name:
        return ops.Add(ops.Mul(ops.Sub(1.0, opened), before), ops.Mul(opened, after))

    def ahead(log_odds: Name) -> Name:
        lead = ops.Add(ops.Unsqueeze(log_odds, [-1]), offset)
        return ops.Sigmoid(ops.Neg(ops.Div(lead, width)))

    opened = gate(context)
    shift = ops.Mul(rival, monotone.RIVAL_SIZE * params["rival"][0])
    log_odds = ops.Add(ops.Sub(log_p_y, log_rest), shift)
    heights = ops.Mul(ops.Mul(passing(opened, before, after), 4 * width), ahead(log_odds))
    value = ops.ReduceSum(heights, [-1], keepdims=0)
    value = ops.Sub(value, ops.Mul(passing(opened, 1.0, log_loss), log_p_y))
    value = ops.Add(value, ops.Mul(passing(opened, low, high), smoothing))

    at_start = gate((0.0, 0.0, 0.0))
    certain = ops.Div(ops.Sub(number, 1.0), number)
    passed = ahead(ops.Neg(ops.Log(others)))
    slopes = ops.Mul(ops.Mul(4.0, passed), ops.Sub(1.0, passed))
    slope = ops.ReduceSum(ops.Mul(passing(at_start, before, after), slopes), [-1], keepdims=0)
    slope = ops.Add(slope, ops.Mul(passing(at_start, 1.0, log_loss), certain))
    return ops.Div(ops.Mul(value, certain), ops.Max(slope, 1e-30))


_NETWORKS = {"symmetric": _symmetric, "deepset": _deepset, "concat": _concat, "taylor": _taylor}
