"""The tests run on the CPU, so that they say the same on every machine."""

import atexit
import os
import shutil
import struct
import tempfile
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

os.environ["JAX_PLATFORMS"] = "cpu"
# A command makes devices of the processors, and so rounds otherwise; what it does is compared bit
# for bit with what this process does.
os.environ["JAX_NUM_CPU_DEVICES"] = "1"
# JAX's strict modes, for the commands that tests start as well.
os.environ["JAX_NUMPY_RANK_PROMOTION"] = "raise"
os.environ["JAX_NUMPY_DTYPE_PROMOTION"] = "strict"
# JAX would search each refusal's traceback for frames of its own, which takes longer than the rest.
os.environ["JAX_TRACEBACK_FILTERING"] = "off"
# What one test process has compiled, the others need not; the first of them makes the cache.
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    _compilations = tempfile.mkdtemp(prefix="edl_jax-compilations-")
    atexit.register(shutil.rmtree, _compilations, ignore_errors=True)
    os.environ["JAX_COMPILATION_CACHE_DIR"] = _compilations
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.1"

import pytest

# The slow tier, by the beginnings of tests' names: what compiles much, or trains, or starts many
# processes. All else is the quick tier, `pytest -m "not slow"`, which touches every wing.
SLOW = (
    "edl_jax/objective/certificates.py",
    "edl_jax/objective/fitness.py",
    "edl_jax/objective/gains.py",
    "edl_jax/objective/properties.py::edl_jax.objective.properties.measure_properties",
    "edl_jax/objective/terms.py::edl_jax.objective.terms.Candidate",
    "edl_jax/search/chosen.py",
    "edl_jax/search/engine.py",
    "edl_jax/search/pipeline.py::edl_jax.search.pipeline.evolve",
    "edl_jax/training/classifier.py",
    "edl_jax/training/comparison.py::edl_jax.training.comparison.compare",
    "edl_jax/training/models.py",
    "edl_jax/training/tuning.py",
    "tests/benchmarks/test_accelerator.py",
    "tests/benchmarks/test_chaos.py",
    "tests/benchmarks/test_claims.py::test_what_was_not_run",
    "tests/benchmarks/test_commands.py",
    "tests/benchmarks/test_faults.py",
    "tests/benchmarks/test_mutation_strategies.py",
    "tests/benchmarks/test_rehearsal.py",
    "tests/benchmarks/test_suspects.py::test_a_quick_run",
    "tests/benchmarks/test_throughput.py",
    "tests/benchmarks/test_torch_losses.py::test_a_quick_run",
    "tests/benchmarks/test_training_step.py",
    "tests/benchmarks/test_transfer_losses.py",
    "tests/chaos/test_maps.py",
    "tests/chaos/test_streams.py::test_only_a_chaotic_stream",
    "tests/chaos/test_streams.py::test_values_follow",
    "tests/commands/test_analyze.py",
    "tests/commands/test_own_parts.py",
    "tests/commands/test_pretrain.py",
    "tests/commands/test_startup.py::test_every_command",
    "tests/commands/test_startup.py::test_what_one_process_compiled_the_next_one_reads",
    "tests/commands/test_own_data.py",
    "tests/commands/test_transfer.py",
    "tests/docs/test_docs.py::test_the_block_runs",
    "tests/docs/test_commands.py::test_the_commands_run",
    "tests/docs/test_notebooks.py::test_it_runs",
    "tests/export/test_onnx_graph.py",
    "tests/export/test_pytorch.py",
    "tests/export/test_stablehlo.py",
    "tests/losses/test_arguments.py",
    "tests/losses/test_context.py",
    "tests/losses/test_handmade.py",
    "tests/losses/test_handmade_calls.py",
    "tests/losses/test_learned.py",
    "tests/losses/test_monotone.py",
    "tests/losses/test_networks.py",
    "tests/losses/test_numbers.py",
    "tests/losses/test_scale.py::test_descent_under",
    "tests/losses/test_shipped.py::test_the_shipped_loss_prefers",
    "tests/objective/test_certificates.py",
    "tests/objective/test_gains.py",
    "tests/objective/test_properties.py",
    "tests/objective/test_students.py",
    "tests/objective/test_tasks.py",
    "tests/objective/test_terms.py",
    "tests/report/test_command.py::test_bad_options",
    "tests/report/test_figures.py",
    "tests/report/test_page.py",
    "tests/report/test_runs.py",
    "tests/runs/test_output.py::test_a_result_is_kept",
    "tests/runs/test_processes.py::test_a_process_whose_others",
    "tests/runs/test_processes.py::test_two_processes",
    "tests/runs/test_tensorboard.py::test_transfer_writes",
    "tests/search/test_contracts.py",
    "tests/search/test_engine.py",
    "tests/search/test_front.py",
    "tests/search/test_layout.py::test_a_command_makes_devices",
    "tests/search/test_layout.py::test_any_number_of_devices",
    "tests/search/test_pipeline.py",
    "tests/search/test_sweep.py::test_a_s",
    "tests/strategies/test_chaotic_evolution.py",
    "tests/strategies/test_evosax.py",
    "tests/strategies/test_evosax_by_name.py",
    "tests/strategies/test_gradient.py",
    "tests/strategies/test_mutation.py",
    "tests/strategies/test_operators.py",
    "tests/strategies/test_registry.py",
    "tests/strategies/test_stagnation.py",
    "tests/strategies/test_step_size.py",
    "tests/test_strict_modes.py",
    "tests/suspects/test_command.py",
    "tests/torch/test_load_loss.py",
    "tests/training/test_batches.py",
    "tests/training/test_classifier.py",
    "tests/training/test_comparison.py",
    "tests/training/test_evaluation.py::test_evaluation_counts",
    "tests/training/test_loop.py",
    "tests/training/test_models.py",
    "tests/training/test_network.py",
    "tests/training/test_tuning.py",
    "tests/training/test_step.py",
    "tests/training/test_noise.py",
    "tests/training/test_streamed.py",
)

# What compiles many programs that then run for a moment: here they are not optimised, which would
# take most of the time. What is compared bit for bit is compiled in the same way on both sides.
COMPILED_QUICKLY = (
    "tests/benchmarks/",
    "tests/commands/",
    "tests/losses/test_arguments.py",
    "tests/objective/test_gains.py",
    "tests/objective/test_students.py",
    "tests/objective/test_tasks.py",
    "tests/search/",
    "tests/strategies/test_operators.py",
    "tests/suspects/",
    "tests/test_strict_modes.py",
    "tests/training/",
)

# Outside of JAX's strict modes: what calls functions of optax and evosax that promote.
PROMOTING = (
    "tests/benchmarks/test_accelerator.py",
    "tests/benchmarks/test_mutation_strategies.py",
    "tests/benchmarks/test_throughput.py",
    "tests/docs/test_commands.py",
    "tests/docs/test_docs.py::test_the_block_runs",
    "tests/docs/test_notebooks.py",
    "tests/losses/test_handmade.py::test_values_of_optax",
    "tests/strategies/test_evosax.py::test_a_search_is_evosaxs_to_the_bit",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.nodeid.startswith(SLOW):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="module", autouse=True)
def _compiled_quickly(request: pytest.FixtureRequest) -> Iterator[None]:
    if not request.node.nodeid.startswith(COMPILED_QUICKLY):
        yield
        return
    import jax

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
        jax.clear_caches()
        jax.config.update("jax_disable_most_optimizations", True)
        yield
        jax.config.update("jax_disable_most_optimizations", False)
        jax.clear_caches()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """What is promoted on purpose is so in the fixtures of a module too."""
    if not item.nodeid.startswith(PROMOTING):
        return (yield)
    import jax

    allow, standard = jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard")
    with pytest.MonkeyPatch.context() as patch, allow, standard:
        patch.delenv("JAX_NUMPY_RANK_PROMOTION")
        patch.delenv("JAX_NUMPY_DTYPE_PROMOTION")
        return (yield)


@pytest.fixture(scope="session")
def toy_data_dir(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A directory that holds ``toy_colours``, prepared as array_record without TensorFlow.

    The cache of decoded arrays is one of the session's own.
    """
    from benchmarks.common import toy_data

    directory = tmp_path_factory.mktemp("tfds")
    toy_data.prepare(directory, tmp_path_factory.mktemp("pictures"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield directory


@pytest.fixture
def read_events() -> Callable[[Path], list[Any]]:
    """Reads TensorBoard's event files: rows ``(subdirectory, step, {tag: value})`` as written."""

    def read(directory: Path) -> list[Any]:
        from tensorboardX.proto.event_pb2 import Event
        from tensorboardX.record_writer import masked_crc32c

        rows = []
        for path in sorted(directory.rglob("events.out.tfevents.*")):
            content = path.read_bytes()
            while content:
                (size,) = struct.unpack("<Q", content[:8])
                data, rest = content[12 : 12 + size], content[12 + size :]
                assert struct.unpack("<I", content[8:12]) == (masked_crc32c(content[:8]),)
                assert struct.unpack("<I", rest[:4]) == (masked_crc32c(data),)
                event, content = Event.FromString(data), rest[4:]
                if event.HasField("summary"):
                    values = {value.tag: value.simple_value for value in event.summary.value}
                    rows.append((str(path.parent.relative_to(directory)), event.step, values))
        return rows

    return read
