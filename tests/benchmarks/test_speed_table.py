"""The page of speeds: its statistics, and that it shows what the results files say."""

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.common import speed_table
from benchmarks.common.results_file import RESULTS

ROOT = Path(__file__).parent.parent.parent
PAGE = ROOT / "docs" / "speed.md"
META = {
    "commit": "0123456789",
    "environment": {"jax": "1", "evosax": "2", "numpy": "3"},
    "num_processors": 2,
    "cpu": "a processor",
}


def rate(name, size, repeat, rate):
    return {
        "implementation": name,
        "strategy": "ES",
        "population_size": size,
        "repeat": repeat,
        "generations_per_second": rate,
    }


def throughput():
    """A results file whose machine is slower by half in every other repeat."""
    rows = []
    for repeat in range(6):
        slow = 0.5 if repeat % 2 else 1.0
        rows += [rate("edl_jax", 64, repeat, 300 * slow), rate("numpy", 64, repeat, 100 * slow)]
    floor = {
        "population_size": 64,
        "width": 32,
        "matmul_flops": 2e9,
        "matmul_peak": 1e11,
        "matmul_rate_at_this_width": 5e10,
        "matmul_seconds": 0.02,
        "counts": {"exp": 10**6},
        "nanoseconds": {"exp": 2.0},
        "transcendental_seconds": 0.002,
        "seconds": 0.022,
        "share_reached": {"edl_jax": 0.5, "numpy": 0.2},
    }
    sizes = {"population_size": 64, "batch_size": 2048, "width": 32, "num_classes": 10}
    grown = [
        {
            "axis": "width",
            **sizes,
            "width": w,
            "seconds": w / 1e3,
            "sampling_seconds": 1e-3,
            "peak_bytes": None,
            "buffer_bytes": 2**20,
        }
        for w in (8, 16)
    ]
    slopes = [{"axis": "width", "quantity": "seconds", "slope": 1.0, "last": 1.0}]
    return {"meta": META, "rows": rows, "floor": [floor], "scaling": grown, "slopes": slopes}


def training():
    rows, bare = [], []
    for repeat in range(5):
        slow = 1 + repeat
        for implementation, loss, time in (
            ("edl_jax", "cross_entropy", 0.1),
            ("edl_jax", "edl-base", 0.101),
            ("pytorch", "cross_entropy", 0.2),
        ):
            rows.append(
                {
                    "model": "resnet8",
                    "width": 16,
                    "implementation": implementation,
                    "loss": loss,
                    "repeat": repeat,
                    "seconds_per_step": time * slow,
                    "images_per_second": 128 / (time * slow),
                }
            )
            if implementation == "edl_jax":
                bare.append({"loss": loss, "num_classes": 10, "microseconds": 1e4 * time * slow})
                bare[-1]["repeat"] = repeat
    return {"meta": META, "rows": rows, "bare_losses": bare}


def test_ratios_are_of_one_repeat_and_so_free_of_what_slows_both():
    text = speed_table.throughput_text(throughput())

    assert "| 64 | `numpy` | ES | 75 | 3.00 [3.00, 3.00] | 20 % | 6 |" in text
    assert "| width | 16 | 16 | 1 |  | 1 |" in text
    assert "| width | time of a generation | 1.00 | 1.00 |" in text


def test_a_step_is_compared_with_cross_entropy_repeat_by_repeat():
    text = speed_table.training_text(training())

    assert "| `edl_jax` | edl-base | 422 | 1.010 [1.010, 1.010] | 5 |" in text
    assert "| `pytorch` | cross_entropy | 213 | 2.000 [2.000, 2.000] | 5 |" in text
    assert "| 10 | edl-base | 3,030 | 1.010 [1.010, 1.010] | 5 |" in text


def test_the_interval_of_a_median_covers_it():
    values = np.random.default_rng(0).normal(size=200)
    low, high = speed_table.median_interval(values)

    assert low < np.median(values) < high
    assert high - low < 0.6


def test_every_table_has_its_place_on_the_page_and_no_other_figures_stand_there(tmp_path):
    for name, content in (("throughput", throughput()), ("training_step", training())):
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    filled = speed_table.page(PAGE.read_text(), tmp_path)

    for name, content in (("throughput", throughput()), ("training_step", training())):
        for block in speed_table.BLOCKS[name](content).values():
            assert f"-->\n{block}\n<!-- /" in filled


@pytest.mark.parametrize("name", speed_table.BLOCKS)
def test_the_page_shows_what_the_results_file_says(name):
    if not (RESULTS / f"{name}.json").exists():
        assert "Not measured yet." in PAGE.read_text()
    assert speed_table.page(PAGE.read_text()) == PAGE.read_text()


def test_the_picture_is_drawn(tmp_path):
    speed_table.draw(throughput()["scaling"], tmp_path / "speed.png")

    assert (tmp_path / "speed.png").stat().st_size > 1000
