"""The page of claims: its figures are those of the results, and each row can be tested."""

import importlib
import re
import shlex

import pytest

from benchmarks.claims.__main__ import PAGE, PARTS, page
from benchmarks.claims.figures import (
    FAILS,
    HOLDS,
    IN_PART,
    OPEN,
    Figure,
    above,
    below,
    gained,
    more_than_chance,
    not_below,
    speed,
    within,
)
from benchmarks.common.pages import README
from edl_jax import cli

CLAIMS = [claim for claims in PARTS.values() for claim in claims()]
COMMANDS = sorted({command for claim in CLAIMS for command in claim.command.split("; ")})
UP, DOWN, LEVEL = Figure(1.0, 0.5, 1.5, 5), Figure(-1.0, -1.5, -0.5, 5), Figure(0.1, -0.2, 0.4, 5)


def test_the_page_shows_what_the_results_files_say():
    assert PAGE.read_text() == page(), "run: python -m benchmarks.claims"


def test_every_claim_has_a_command_a_figure_and_a_verdict():
    assert len(CLAIMS) >= 25
    assert len({claim.says for claim in CLAIMS}) == len(CLAIMS)
    for claim in CLAIMS:
        assert claim.command and claim.figure and claim.verdict in (HOLDS, IN_PART, FAILS, OPEN)
        assert (claim.verdict == OPEN) >= ("not run" in claim.figure)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_one_that_parses(command, monkeypatch):
    words = shlex.split(command)
    if words[0] == "pytest":
        assert (README.parent / words[1]).exists()
        return
    assert words[:2] == ["python", "-m"]
    if words[2] == "edl_jax.analyze":
        return  # all its arguments are names of losses
    package = words[2]
    config = importlib.import_module(f"{package}.config")
    kinds = [value for name, value in vars(config).items() if name.endswith("Config")]
    (kind,) = (value for value in kinds if value.__module__ == config.__name__)
    cli.parse(kind, words[3:], prog=" ".join(words[:3]))


def test_a_newcomer_reaches_the_page_from_the_first_screen():
    first_screen = README.read_text().split("\n## ")[0]
    assert re.search(r"\]\(docs/claims\.md\)", first_screen)


@pytest.mark.parametrize(
    ("judge", "figures", "verdict"),
    [
        (above, [UP, UP], HOLDS),
        (above, [UP, LEVEL], IN_PART),
        (above, [LEVEL, DOWN], FAILS),
        (above, [], OPEN),
        (not_below, [UP, LEVEL], HOLDS),
        (not_below, [LEVEL, DOWN], IN_PART),
        (not_below, [DOWN], FAILS),
        (lambda found: below(found, 0.0), [DOWN, DOWN], HOLDS),
        (lambda found: below(found, 0.0), [LEVEL], FAILS),
        (lambda found: within(found, -0.5), [UP, LEVEL], HOLDS),
        (lambda found: within(found, -0.1), [UP, LEVEL], IN_PART),
        (more_than_chance, [Figure(0.5, 0.4, 0.6, 5)] * 5 + [LEVEL._replace(high=2.0)] * 35, HOLDS),
        (more_than_chance, [Figure(0.5, 0.4, 0.6, 5)] * 2 + [LEVEL._replace(high=2.0)] * 38, FAILS),
        (more_than_chance, [], OPEN),
    ],
)
def test_a_verdict_says_what_the_intervals_say(judge, figures, verdict):
    assert judge(figures) == verdict


def test_what_was_not_run_has_no_figure():
    assert gained("fashion-mlp", "0.77", "aware", "edl-robust") == []
    assert speed("sphere", "no such operator") == []
    (figure,) = gained("fashion-mlp", "0", "aware", "cross_entropy")
    assert (figure.value, figure.low, figure.high) == (0.0, 0.0, 0.0)
