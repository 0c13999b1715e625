"""Protects the page: what it says, and that it asks nothing of a network.

It is opened in headless Chromium where one is installed.
"""

import functools
import itertools
import json
import shutil
from html import unescape
from html.parser import HTMLParser

import pytest

from edl_jax.losses.loading import load_learned_loss
from edl_jax.report import __main__ as report
from edl_jax.report import page as report_page
from edl_jax.runs.curves import short_name
from tests.report.damage import HOSTILE, NAMES, quick_compilation


@pytest.fixture(scope="module")
def page(runs, tmp_path_factory):
    """The page about all of them; the two searches' one loss is measured once."""
    path = tmp_path_factory.mktemp("page") / "report.html"
    loss = load_learned_loss(runs[0])
    with quick_compilation(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(report_page, "load_learned_loss", lambda path: loss)
        measured = functools.cache(report_page.measure_properties)
        patch.setattr(report_page, "measure_properties", measured)
        report.command([*map(str, runs), "--output", str(path)])
    return path


class Parsed(HTMLParser):
    """Elements with their attributes, text by element, and the rows of tables."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.scripts, self.rows, self.styles = [], [], [], []
        self.inside = None
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        self.inside = tag
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
        elif tag == "script":
            self.scripts.append((dict(attributes).get("type"), ""))

    def handle_endtag(self, tag):
        self.inside = None

    def handle_data(self, data):
        if self.inside in ("td", "th"):
            self.rows[-1][-1] += data
        elif self.inside == "script":
            kind, text = self.scripts[-1]
            self.scripts[-1] = (kind, text + data)
        elif self.inside == "style":
            self.styles.append(data)


@pytest.fixture(scope="module")
def parsed(page):
    return Parsed(page.read_text())


@pytest.fixture(scope="module")
def figures(parsed):
    return [json.loads(text) for kind, text in parsed.scripts if kind == "application/json"]


# --- what the page says ------------------------------------------------------------------------


def test_the_page_says_what_each_run_is_and_in_what_they_differ(parsed, runs):
    summary = json.loads((runs[0] / "summary.json").read_text())
    (first,) = (row for row in parsed.rows if row[0] == "first")
    assert f"{summary['wall_time_s']:,.1f} s" in first
    assert summary["environment"]["jax"] in first
    assert "seed 0: 10 generations of 8 candidates" in first[1]
    assert ["objective.margin", "0.002", "0.25"] in parsed.rows
    assert ["mutation", "chaotic", "chaotic"] in parsed.rows
    # What is as it is by default is only in the lists of all options.
    assert [row for row in parsed.rows if row[0] == "step_size"] == [["step_size", "0.1"]] * 2


def test_the_tables_hold_the_figures_of_the_summaries(parsed, runs):
    rows = {tuple(row[:2]): row for row in parsed.rows}
    summary = json.loads((runs[0] / "summary.json").read_text())
    shown = f"{100 * summary['held_out_discordance']:.3f} %"
    assert rows["held-out discordance", "0 %"][2:] == [shown, shown]
    # Cross-entropy is proper, calibrated, and has gradient p - 1.
    assert rows["logit gradient at p_y = 1/K", "-0.6667"]
    assert rows["minimiser keeps argmax q", "1"]
    trained = json.loads((runs[2] / "summary.json").read_text())
    for row in trained["rows"]:
        shown = rows[row["loss"], str(row["seed"])]
        assert shown[2:4] == [f"{row['test_accuracy']:.2%}", f"{row['nll']:.3f}"]
    (difference,) = (d for d in trained["paired_differences"] if d["metric"] == "test_accuracy")
    assert rows[HOSTILE, "mean"][-1].startswith(f"{100 * difference['mean']:+.2f} [")


def test_every_figure_names_the_runs_or_losses_in_its_legend(figures):
    names = [{unescape(trace.get("name", "")) for trace in figure["data"]} for figure in figures]
    surfaces = [i for i, figure in enumerate(figures) if figure["data"][0]["type"] == "surface"]
    assert len(surfaces) == 1
    assert names[surfaces[0]] == {"cross-entropy", *NAMES[:2]}
    curves = [found for found in names if set(NAMES[:2]) <= found]
    assert len(curves) == 7  # fitness, discordance, term, guard, gradient, value, surface
    trained = {"cross_entropy", short_name(HOSTILE, 42)}
    assert sum(trained <= found for found in names) == 4
    assert sum("logistic" in found for found in names) == 3


# --- safety ------------------------------------------------------------------------------------


def test_nothing_in_the_page_points_out_of_it(parsed, page):
    for tag, attributes in parsed.elements:
        assert tag not in ("img", "iframe", "object", "embed", "base", "form", "a")
        for name in ("src", "srcset", "action", "data", "href"):
            assert attributes.get(name, "data:").startswith("data:")
    assert parsed.styles and not any("url(" in s or "@import" in s for s in parsed.styles)
    (policy,) = (a["content"] for _, a in parsed.elements if "http-equiv" in a)
    assert policy.startswith("default-src 'none';") and "http" not in policy
    assert "connect-src" not in policy and "*" not in policy
    assert page.read_text().count("* plotly.js v") == 1


def test_text_from_a_run_is_text(parsed, figures, page):
    text = page.read_text()
    assert HOSTILE not in text and NAMES[1] not in text
    assert [HOSTILE in row for row in parsed.rows].count(True) >= 4
    kinds = [tag for tag, _ in parsed.elements]
    assert kinds.count("script") == len(figures) + 2
    # Plotly reads mark-up in a name, unless it is escaped.
    names = [trace.get("name", "") for figure in figures for trace in figure["data"]]
    assert not any("<" in name for name in names) and any("&lt;" in name for name in names)


# --- in a browser ------------------------------------------------------------------------------

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@pytest.fixture(scope="module")
def browser():
    executable = next(filter(None, map(shutil.which, BROWSERS)), None)
    if executable is None:
        pytest.skip(f"no browser to open the page in: none of {', '.join(BROWSERS)} is installed")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # Without a graphics card the scene is drawn in software.
        options = ["--enable-unsafe-swiftshader"]
        browser = playwright.chromium.launch(executable_path=executable, args=options)
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser, page):
    """Opens the page at a width; gives it, and the list of what went wrong and was requested."""
    contexts = []

    def open_at(width, **options):
        contexts.append(browser.new_context(viewport={"width": width, "height": 900}, **options))
        tab = contexts[-1].new_page()
        errors, requests = [], []
        tab.on("console", lambda m: errors.append(m.text) if m.type == "error" else None)
        tab.on("pageerror", lambda error: errors.append(str(error)))
        tab.on("dialog", lambda dialog: (errors.append(dialog.message), dialog.dismiss()))
        tab.on("request", lambda request: requests.append(request.url))
        tab.goto(page.as_uri())
        tab.wait_for_selector("html[data-drawn=all]", timeout=60_000)
        return tab, errors, requests

    yield open_at
    for context in contexts:
        context.close()


@pytest.mark.parametrize(("width", "scheme"), [(390, "light"), (1280, "dark")])
def test_every_figure_is_drawn_and_nothing_leaves_the_page(open_page, page, figures, width, scheme):
    phone = width < 500
    tab, errors, requests = open_page(width, color_scheme=scheme, has_touch=phone, is_mobile=phone)
    drawn = tab.evaluate(
        """() => [...document.querySelectorAll(".plot")].map((plot) => {
            const box = plot.querySelector(".main-svg").getBoundingClientRect();
            const marks = ".scatterlayer .trace, .barlayer .trace, .gl-container canvas";
            return [plot.querySelectorAll(marks).length, box.width, box.height];
        })"""
    )
    assert len(drawn) == len(figures)
    for (marks, drawn_width, drawn_height), figure in zip(drawn, figures, strict=True):
        scene = figure["data"][0]["type"] == "surface"
        assert marks >= 1 if scene else marks == len(figure["data"])
        assert drawn_width > 250 and drawn_height > 250
    assert errors == []
    assert set(requests) == {page.as_uri()}
    # The page is as wide as the window, and what is wider scrolls in a box of its own.
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    assert tab.locator("img").count() == 0
    # plotly.js offers to send a figure to its makers.
    labels = tab.locator("[data-title]").evaluate_all("all => all.map(e => e.dataset.title)")
    assert (labels == []) == phone
    assert not [label for label in labels if "share" in label.lower() or "plotly" in label.lower()]


def test_the_surface_turns_and_says_its_values(open_page):
    tab, errors, _ = open_page(500)
    scene = tab.locator(".wide .plot")
    scene.scroll_into_view_if_needed()
    box = scene.bounding_box()
    eye = "document.querySelector('.wide .plot')._fullLayout.scene._scene.getCamera().eye.x"
    said = "[...document.querySelectorAll('.wide .hovertext')].map(e => e.textContent).join()"
    across, down = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    # Where in the scene the surfaces are depends on the loss: look around until one answers.
    # Software rendering may take a second a frame, and the mouse is only seen between frames.
    around = itertools.product((0, -50, 50, -100, 100), (0, -40, 40, 80, -80), range(3))
    for right, below, nudge in around:
        tab.mouse.move(across + right + nudge, down + below)
        tab.wait_for_timeout(250)
        if "p true" in tab.evaluate(said):
            break
    assert all(text in tab.evaluate(said) for text in ("p true", "p largest other", "loss"))

    before = tab.evaluate(eye)
    tab.mouse.move(across, down)
    tab.mouse.down()
    for step in range(1, 60):
        tab.mouse.move(across + 4 * step, down)
        tab.wait_for_timeout(250)
        if abs(tab.evaluate(eye) - before) > 0.1:
            break
    tab.mouse.up()
    assert abs(tab.evaluate(eye) - before) > 0.1
    assert errors == []
