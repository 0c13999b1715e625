"""Protects the report: what the page says, that it asks nothing of a network, and how it refuses.

The page is opened in headless Chromium where one is installed.
"""

import contextlib
import functools
import io
import itertools
import json
import os
import shutil
import subprocess
import sys
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import jax
import numpy as np
import pytest

from edl_jax import cli, pretrain, transfer
from edl_jax.chaos.maps import MAPS
from edl_jax.losses.handmade import LOSSES
from edl_jax.losses.learned import load_loss
from edl_jax.report import __main__ as report
from edl_jax.report import figures as report_figures
from edl_jax.report import page as report_page
from edl_jax.report import shapes as report_shapes
from edl_jax.report.runs import read_runs

HOSTILE = "</script><img src=https://example.org/x onerror=alert(1)>"
NAMES = ("first", "<b>second & last", "trained")


@pytest.fixture(scope="module")
def quick_compilation():
    """Most of the time would go into optimising programs that run once."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)
    jax.clear_caches()


@pytest.fixture(scope="module")
def runs(tmp_path_factory, toy_data_dir, quick_compilation):
    """Directories of two searches and of one comparison, in which text is hostile."""
    parent = tmp_path_factory.mktemp("runs")
    first, second, trained = (parent / name for name in NAMES)
    tiny = "--population-size 8 --num-generations 10 --batch-size 32 --num-classes 3 --width 4"
    other = "--objective.proper-ranking 0 --mutation chaotic"
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        pretrain.command([*tiny.split(), *other.split(), "--output-dir", str(first)])
    assert printed.getvalue().splitlines()[-1] == f"See it: {report.PROG} {first}"
    shutil.copytree(first, second)
    edit(second / "config.json", '"margin": 0.002', '"margin": 0.25')
    small = "--model mlp --width 8 --batch-size 16 --dataset toy_colours --train-size 64 --epochs 2"
    losses = ["--loss", "cross_entropy", "brier", "--seeds", "0", "1", "2", *small.split()]
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        transfer.command([*losses, "--data-dir", str(toy_data_dir), "--output-dir", str(trained)])
    assert printed.getvalue().splitlines()[-1] == f"See it: {report.PROG} {trained}"
    for name in ("config.json", "metrics.jsonl", "summary.json"):
        edit(trained / name, '"brier"', json.dumps(HOSTILE))
    return first, second, trained


def edit(path, old, new):
    content = path.read_text()
    assert old in content
    path.write_text(content.replace(old, new))


@pytest.fixture(scope="module")
def page(runs, tmp_path_factory):
    """The page about all of them; the two searches' one loss is measured once."""
    path = tmp_path_factory.mktemp("page") / "report.html"
    loss = load_loss(runs[0])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report_page, "load_loss", lambda path: loss)
        patch.setattr(report_page, "properties", functools.cache(report_page.properties))
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
    assert (
        sum({"cross_entropy", report_figures.short(HOSTILE, 42)} <= found for found in names) == 4
    )
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


# --- the figures' own arithmetic ---------------------------------------------------------------


def test_the_surface_of_cross_entropy_is_minus_log_p():
    panel = report_shapes.surface({"ce": LOSSES["cross_entropy"]}, {"ce": 4})
    for trace in panel.figure.data:
        x, y, z = (np.asarray(getattr(trace, axis), np.float64) for axis in "xyz")
        np.testing.assert_allclose(z - z[0, -1], np.log(x[0, -1] / x), atol=1e-4)
        assert (x + y <= 1).all() and (y >= (1 - x) / 3 - 1e-6).all()
    assert report_shapes.surface({"ce": LOSSES["cross_entropy"]}, {"ce": 2}) is None


def test_the_profile_of_cross_entropy_is_p_less_one():
    gradient, value = report_shapes.profiles({"mine": LOSSES["cross_entropy"]}, {"mine": 5})
    for curve in gradient.figure.data:
        np.testing.assert_allclose(curve.y, curve.customdata - 1, atol=1e-4)
    for curve in value.figure.data:
        np.testing.assert_allclose(curve.y, -np.log(curve.customdata), atol=1e-2)


def test_the_autocorrelation_of_an_orbit_of_period_two_alternates():
    law = MAPS["logistic"].law
    orbit = law.mean + np.sqrt(law.variance) * (-1.0) ** np.arange(100)
    found = report_shapes.autocorrelation(MAPS["logistic"], orbit[:, None].astype(np.float32))
    np.testing.assert_allclose(found, (-1.0) ** np.arange(len(found)), atol=1e-5)


def test_a_mean_curve_ends_where_a_seed_has_no_figure(runs, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(runs[2], run)
    lines = (run / "metrics.jsonl").read_text().splitlines(keepends=True)
    broken = json.loads(lines[-1])
    (run / "metrics.jsonl").write_text("".join(lines[:-1]) + json.dumps(broken | {"nll": None}))
    panels = report_figures.learning_curves(read_runs([run]))
    (nll,) = (panel.figure for panel in panels if panel.title.startswith("Negative"))
    lengths = [len(trace.x) for trace in nll.data if trace.fill is None]
    assert lengths == [2, 1]  # the last line is the second loss's, of its second epoch
    rows = [json.loads(line) for line in lines]
    for i, loss in enumerate(("cross_entropy", HOSTILE)):
        values = [row["nll"] for row in rows if row["loss"] == loss and row["epoch"] == 1]
        band, mean = (trace for trace in nll.data if trace.legendgroup == str(i))
        assert mean.y[0] == pytest.approx(np.mean(values))
        assert {band.y[0], band.y[-1]} == {max(values), min(values)}


# --- refusals ----------------------------------------------------------------------------------


def cut(path):
    path.write_bytes(path.read_bytes()[:-20])


def rewrite(**changes):
    def change(path):
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return change


REFUSED = {
    "not a run": ("config.json", Path.unlink, "expected a run directory"),
    "another command's": ("config.json", rewrite(command="cook"), "expected a run of pretrain"),
    "not a configuration": ("config.json", rewrite(width="wide"), "config.json"),
    "an option out of range": ("config.json", rewrite(num_classes=1), "num-classes|num_classes"),
    "not finished": ("summary.json", Path.unlink, "expected a finished run"),
    "damaged summary": ("summary.json", cut, "summary.json: damaged"),
    "summary without a figure": ("summary.json", rewrite(scale=None), "a number scale"),
    "no metrics": ("metrics.jsonl", Path.unlink, "metrics.jsonl: missing"),
    "no lines": ("metrics.jsonl", lambda path: path.write_text(""), "a line at least"),
    "broken line": ("metrics.jsonl", cut, "metrics.jsonl, line 10: damaged"),
    "line of text": (
        "metrics.jsonl",
        lambda path: edit(path, '"num_failed": 0', '"num_failed": "<b>"'),
        "line 1: expected a number or null for num_failed",
    ),
    "generation that is none": (
        "metrics.jsonl",
        lambda path: edit(path, '"generation": 10', '"generation": 11'),
        "line 10: expected generation",
    ),
    "no loss": ("loss.npz", Path.unlink, "loss.npz"),
    "damaged loss": ("loss.npz", cut, "loss.npz"),
}


def refuse(args, capsys):
    """The one line with which the command stops, at status 2."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        cli.main(lambda: report.command(list(map(str, args))))
    output, error = capsys.readouterr()
    assert (stop.value.code, output) == (2, "")
    assert error.startswith("error: ") and error.count("\n") == 1
    return error


@pytest.mark.parametrize(("name", "damage", "said"), REFUSED.values(), ids=REFUSED)
def test_a_bad_run_is_one_line_and_leaves_nothing(name, damage, said, runs, tmp_path, capsys):
    run = tmp_path / "run"
    shutil.copytree(runs[0], run)
    damage(run / name)
    before = sorted(tmp_path.rglob("*"))
    error = refuse([run], capsys)
    assert any(text in error for text in said.split("|"))
    assert sorted(tmp_path.rglob("*")) == before


def test_a_transfer_run_that_lacks_a_row_is_refused(runs, tmp_path, capsys):
    run = tmp_path / "run"
    shutil.copytree(runs[2], run)
    rows = json.loads((run / "summary.json").read_text())["rows"]
    rewrite(rows=rows[:-1])(run / "summary.json")
    assert "a row for each loss and seed" in refuse([run], capsys)
    rewrite(rows=[*rows[:-1], rows[-1] | {"nll": "<b>"}])(run / "summary.json")
    assert "a number or null nll" in refuse([run], capsys)


def test_bad_options_are_refused(runs, tmp_path, capsys):
    run = runs[0]
    assert "at least one run directory" in refuse([], capsys)
    assert "each run directory once" in refuse([run, run.parent / "." / run.name], capsys)
    assert "ends in .html" in refuse([run, "--output", run / "loss.npz"], capsys)
    missing = tmp_path / "none" / "report.html"
    assert "--output" in refuse([run, "--output", missing], capsys)
    assert not list(tmp_path.iterdir())


def test_the_page_goes_into_the_run_or_for_several_runs_here():
    assert report.ReportConfig((Path("a"),)).page == Path("a/report.html")
    assert report.ReportConfig((Path("a"), Path("b"))).page == Path("report.html")
    assert report.ReportConfig((Path("a"),), Path("c.html")).page == Path("c.html")


def test_runs_are_checked_before_jax_or_plotly_is_imported(tmp_path):
    code = (
        "import sys; from edl_jax import report; from edl_jax.errors import EdlError\n"
        f"try: report.command([{str(tmp_path)!r}])\n"
        "except EdlError: print('jax' in sys.modules, 'plotly' in sys.modules)"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(report.__file__).parents[1])}
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.split() == ["False", "False"]


def test_two_runs_of_one_name_are_called_by_their_paths(runs, tmp_path):
    other = tmp_path / runs[0].name
    shutil.copytree(runs[0], other)
    assert [run.name for run in read_runs([runs[0], other])] == [str(runs[0]), str(other)]
    assert [run.name for run in read_runs(runs)] == list(NAMES)


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
