"""The docs site: what its pages say of the code, and how docstrings become Markdown.

That it builds without a broken link or reference is checked by ``mkdocs build --strict``.
"""

import importlib.util
import re
from pathlib import Path

import griffe
import pytest

from edl_jax.losses import networks
from edl_jax.objective import ranking, synthetic, terms
from edl_jax.runs import directory as runs
from edl_jax.search.presets import PRESETS

DOCS = Path(__file__).parent.parent.parent / "docs"


def load_hook():
    spec = importlib.util.spec_from_file_location("docstrings", DOCS / "docstrings.py")
    hook = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(hook)
    return hook


@pytest.fixture(scope="module")
def as_markdown():
    hook = load_hook()
    code = 'def shown():\n    """Shown."""\n\n\nhidden = 1\n'
    with griffe.temporary_visited_module(code, module_name="edl_jax") as module:
        yield lambda text: hook.as_markdown(text, module)


def test_a_doctest_becomes_code_with_its_result_and_no_more(as_markdown):
    text = "Says.\n\n>>> f(\n...     1\n... )\n(1,\n 2)\n\nGoes on."
    assert as_markdown(text) == text.replace(">>> f", "```pycon\n>>> f").replace(
        "2)\n", "2)\n```\n"
    )


def test_an_example_becomes_code(as_markdown):
    text = "Says.\n\nExample::\n\n  f(1)\n  f(2)\n"
    assert as_markdown(text) == "Says.\n\n```python\nf(1)\nf(2)\n```\n"


@pytest.mark.parametrize(
    ("role", "shown"),
    [
        (":func:`shown`", "[`shown`][edl_jax.shown]"),
        (":data:`hidden`", "`hidden`"),  # the site has nothing to link to
        (":mod:`jax.export`", "`jax.export`"),
        (":func:`gone`", "[`gone`][gone]"),  # does not exist: the strict build fails
        (":func:`edl_jax.gone`", "[`edl_jax.gone`][edl_jax.gone]"),
    ],
)
def test_a_role_becomes_a_link_where_there_is_something_to_link_to(as_markdown, role, shown):
    assert as_markdown(f"See {role}.") == f"See {shown}."


def test_a_power_is_not_taken_for_bold(as_markdown):
    text = "From 10**-7 to 2**31; ``2**3``.\n\nArgs:\n  **options: the rest."
    assert as_markdown(text) == text.replace("10**", r"10\*\*").replace("2**31", r"2\*\*31")


def test_the_table_of_presets_is_theirs():
    rows = re.findall(
        r"^\| (`\w+`(?:, `\w+`)*) \| (.*) \|$", (DOCS / "method.md").read_text(), re.M
    )
    said = {}
    for names, values in rows:
        cells = values.split(" | ")
        if len(cells) == 6:
            said |= dict.fromkeys(re.findall(r"\w+", names), cells)
    weights = ("clean_ranking", "noisy_ranking", "proper_ranking", "trainability", "rehearsal")
    assert said == {
        name: [
            *(f"{getattr(preset.objective, weight):g}" for weight in weights),
            f"{preset.objective.margin:g}",
        ]
        for name, preset in PRESETS.items()
    }


@pytest.mark.parametrize(
    "names", [synthetic.COMPONENTS, terms.TERMS, networks.NETWORKS, ranking.ORDERS]
)
def test_the_method_page_names_every_part(names):
    words = set(re.findall(r"\w+", (DOCS / "method.md").read_text()))
    assert set(names) <= words


def test_the_page_of_formats_names_every_file_of_a_run():
    files = {runs.CONFIG, runs.METRICS, runs.SUMMARY, runs.MANIFEST, *runs.RESULTS}
    assert files <= set(re.findall(r"`([\w.]+)`", (DOCS / "formats.md").read_text()))
