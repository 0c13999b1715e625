"""The benchmark of the chaotic maps: its page, its picture, and where its table of laws goes."""

from importlib.resources import files

import pytest

from benchmarks.chaos import invariant_laws, plot, table
from benchmarks.chaos.__main__ import command
from benchmarks.common.pages import DOCS, between_marks
from benchmarks.common.results_file import committed, read_results
from edl_jax.chaos.maps import MAPS


def test_the_page_shows_what_the_results_file_says():
    rows, page = committed("chaos")["rows"], (DOCS / "maps.md").read_text()

    assert [row["map"] for row in rows] == list(MAPS)
    assert {(row["orbits"], row["steps"]) for row in rows} == {(1000, 100_000)}
    assert between_marks(page, "chaos", table.markdown(rows)) == page


@pytest.mark.parametrize("row", committed("chaos")["rows"], ids=lambda row: row["map"])
def test_no_orbit_of_a_sound_map_collapsed_or_left_its_law(row):
    assert row["lyapunov_known"] == MAPS[row["map"]].law.lyapunov
    sound = row["ks"] < 0.005 and row["distinct"] >= 0.99
    assert sound == (row["map"] != "logistic_float32")
    if sound:
        assert row["lyapunov"] == pytest.approx(row["lyapunov_known"], rel=0.02)


def test_the_benchmark_draws_what_it_found(tmp_path):
    plot.draw(committed("chaos")["rows"][-2:], tmp_path / "chaos.png")

    assert (tmp_path / "chaos.png").stat().st_size > 10_000


def test_a_run_with_a_file_of_its_own_measures_every_map_once(tmp_path, capsys):
    path = tmp_path / "chaos.json"
    args = ["--orbits", "4", "--steps", "1000", "--output", str(path)]
    command(args)
    first = read_results(path)
    command(args)

    assert read_results(path) == first
    assert [row["map"] for row in first["rows"]] == list(MAPS)
    assert "| `tent` |" in capsys.readouterr().out


def test_the_tables_of_laws_are_written_where_the_package_reads_them():
    assert str(files("edl_jax.chaos") / "laws.npz") == str(invariant_laws.PATH)
    assert invariant_laws.PATH.exists()
