"""The front of a rehearsing search: what is on it, what is remembered, and where it is written."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import edl_jax
from edl_jax import pretrain
from edl_jax.config import EvolutionConfig, ObjectiveConfig, RehearsalConfig
from edl_jax.objective import gains
from edl_jax.objective.tasks import Regime
from edl_jax.report import __main__ as report
from edl_jax.search import front, pipeline
from edl_jax.search.pipeline import evolve

REGIMES = {name: Regime(8, 0.2, num_train=64) for name in ("short_clean", "short_noisy")}
OPTIONS = [
    "--network=monotone",
    "--population-size=6",
    "--num-generations=3",
    "--batch-size=32",
    "--width=2",
    "--objective.proper-ranking=0",
    "--objective.rehearsal=1",
    "--rehearsal.num-tasks=1",
    "--rehearsal.rates",
    "1",
    "--rehearsal.regimes",
    "short_clean",
    "short_noisy",
    "--max-rise=1",
]


@pytest.fixture(scope="module", autouse=True)
def small():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gains, "REGIMES", REGIMES)
        yield


@given(st.lists(st.lists(st.integers(0, 3), min_size=3, max_size=3), min_size=1, max_size=8))
def test_what_is_on_the_front_is_beaten_by_nobody_and_the_rest_by_somebody(rows):
    gained = np.array(rows, float)
    kept = front.non_dominated(gained)

    for i, row in enumerate(gained):
        beaten = any((other >= row).all() and (other > row).any() for other in gained)
        assert kept[i] == (not beaten)


def test_the_leaders_of_a_generation_take_the_oldest_places():
    config = RehearsalConfig(("short_clean", "short_noisy"))
    archive = front.empty_archive({"x": jnp.zeros(1)}, config)
    population = {"x": jnp.arange(1.0, 5.0)[:, None]}
    terms = {
        "rehearsal": jnp.zeros(4),
        "gain_short_clean": jnp.array([0.1, 0.3, jnp.nan, 0.2]),
        "gain_short_noisy": jnp.array([0.0, 0.0, 0.0, 0.5]),
    }
    found = front.remember(archive, population, jnp.array([3.0, 2.0, 1.0, 4.0]), terms)

    assert found["x"].shape == (front.GENERATIONS * 3, 1)
    # The fittest, the best on clean labels, the best on noisy ones.
    np.testing.assert_array_equal(found["x"][-3:, 0], [3, 2, 4])
    np.testing.assert_array_equal(found["x"][:-3], 0)


def test_the_pool_holds_each_candidate_of_every_search_once():
    archive = {"x": np.array([[[1.0], [2.0]], [[2.0], [3.0]]])}  # two searches, two places
    found = front.pool(archive, [{"x": np.array([3.0])}, {"x": np.array([4.0])}])

    assert [float(one["x"][0]) for one in found] == [1, 2, 3, 4]


def test_two_rehearsing_searches_end_with_one_front_that_their_loss_heads():
    config = EvolutionConfig(
        network="monotone",
        population_size=6,
        batch_size=32,
        width=2,
        num_generations=2,
        max_rise=1.0,
        objective=ObjectiveConfig(proper_ranking=0.0, rehearsal=1.0),
        rehearsal=RehearsalConfig(tuple(REGIMES), num_tasks=1, rates=(1.0,)),
    )
    loss, figures, members = evolve(config, num_searches=2)

    assert figures["gains"] == members[0].gains
    np.testing.assert_array_equal(
        *(np.concatenate(jax.tree.leaves(one.params)) for one in (loss, members[0].loss))
    )
    gained = np.array([[member.gains[name] for name in REGIMES] for member in members])
    assert front.non_dominated(gained).all()
    assert members[0].loss.provenance["figures"]["gains"] == members[0].gains


def test_of_several_searches_that_do_not_rehearse_the_loss_that_rehearses_best_is_kept(monkeypatch):
    config = EvolutionConfig(
        population_size=4, batch_size=16, width=2, num_generations=1, max_rise=1.0,
        rehearsal=RehearsalConfig(tuple(REGIMES), num_tasks=1),
    )  # fmt: skip
    kept = []
    for sign in (1, -1):

        def score(loss, drawn, fresh, sign=sign):
            return {"short_clean": sign * loss.params["mlp/2/biases"][0]}

        monkeypatch.setattr(pipeline, "gains", score)
        loss, figures, members = evolve(config, num_searches=3)
        kept.append(float(loss.params["mlp/2/biases"][0]))
        assert figures["gains"] == {"short_clean": sign * kept[-1]}
        assert members == ()
    assert kept[0] > kept[1]


def test_a_run_keeps_its_front_and_the_report_draws_it(tmp_path, capsys):
    run = tmp_path / "run"
    pretrain.command([*OPTIONS, "--output-dir", str(run)])
    printed = capsys.readouterr().out
    rows = json.loads((run / "front.json").read_text())["losses"]

    assert f"The front: {len(rows)} losses" in printed
    for row in rows:
        loss = edl_jax.load_loss(run / row["loss"])
        assert loss.provenance["figures"]["gains"] == row["gains"]
    report.command([str(run)])
    assert "The front of run" in (run / "report.html").read_text()

    (run / "front" / "mine.txt").write_text("kept")
    plain = [option for option in OPTIONS if not option.startswith("--objective.rehearsal")]
    pretrain.command([*plain, "--overwrite", "--output-dir", str(run)])
    assert not (run / "front.json").exists()
    assert [path.name for path in (run / "front").iterdir()] == ["mine.txt"]
