"""The cost of a learned loss in training, and whether the training step is a fast one.

    python -m benchmarks.training_step

times one training step of a residual network under cross-entropy and under learned losses, and the
same network's step in PyTorch; and, by itself, the value and gradient of each loss at some numbers
of classes. Everything takes turns in each repeat, the steps in a process as ``edl_jax.transfer``
settles it. Then where the step's time goes, see :mod:`benchmarks.training_step.parts`.
"""

import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor

from benchmarks.training_step.config import TrainingStepConfig
from edl_jax import cli
from edl_jax.transfer import settle

PROG = "python -m benchmarks.training_step"
QUICK_MODELS = ("resnet8",)


def command(args: Sequence[str] | None = None) -> None:
    """Run the command line ``args``."""
    config = cli.parse(TrainingStepConfig, args, prog=PROG)

    from benchmarks.common.results_file import Row, meta, results_path, write_rows
    from benchmarks.common.timing import hardware
    from benchmarks.training_step import cells, parts
    from benchmarks.training_step.table import markdown

    classes, target = cells.CLASSES, cells.BARE_SECONDS
    output = results_path("training_step", config.output, config.quick)
    if config.quick:
        config = TrainingStepConfig(QUICK_MODELS, width=8, repeats=3, steps=1)
        classes, target = classes[:2], 0.01
    output.parent.mkdir(parents=True, exist_ok=True)
    about = meta() | hardware("torch")
    if "torch" not in about:
        print('pytorch is left out: it needs torch, pip install "edl_jax[bench]"')
    rows: list[Row] = []
    spawn = multiprocessing.get_context("spawn")
    for model in config.models:
        with ProcessPoolExecutor(1, spawn, settle, (model,)) as pool:
            rows += pool.submit(cells.step_rows, config, model).result()
    lists: dict[str, list[Row]] = {
        "bare_losses": list(cells.bare_rows(config.repeats, classes, target)),
        "convolutions": [],
        "variants": [],
    }
    model, width = config.models[-1], rows[-1]["width"]
    if model in cells.DEPTHS:
        depth = cells.DEPTHS[model]
        lists["convolutions"] = list(parts.convolution_rows(depth, width, cells.BATCH_SIZE))
        lists["variants"] = list(parts.variant_rows(model, width))
    write_rows(output, about, rows, **lists)
    print(markdown({"meta": about, "rows": rows, **lists}))


if __name__ == "__main__":
    cli.main(command)
