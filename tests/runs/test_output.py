"""What commands print: no stream ends a run, no name is markup, and nothing is cut."""

import contextlib
import io
import os
import subprocess
import sys

import pytest
from rich.console import Console
from rich.table import Table

from edl_jax import cli
from edl_jax.runs import output
from edl_jax.training import table

NAMES = ["a[bold]x", "sweep/[/lr=1]", "[red]r[/red]", ":smile:/x", "{task.total}", "\\[x]"]


def test_progress_shows_the_rate_in_its_unit(capsys):
    with output.progress_bar("steps/s") as progress:
        task = progress.add_task("working", total=4)
        progress.update(task, completed=2)
        progress.update(task, completed=4, description="done")
    out = capsys.readouterr().out

    assert "4/4" in out
    assert "done" in out


# --- names -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_no_name_is_read_as_markup(name, capsys):
    with output.progress_bar("steps/s") as progress:
        progress.add_task(name, total=4)
    made = Table(title=f"title {name}")
    made.add_column(f"heading {name}")
    made.add_row(f"cell {name}")
    output.show(made)
    out = capsys.readouterr().out

    for text in (f"  {name}", f"title {name}", f"heading {name}", f"cell {name}"):
        assert text in out or f" {name}" in out.splitlines()[0]


@pytest.mark.parametrize("name", NAMES)
def test_a_comparison_shows_the_names_of_losses_as_they_are(name, capsys):
    row = {
        "loss": name,
        "seed": 0,
        "learning_rate": 0.1,
        "test_accuracy": 0.5,
        "nll": 1.0,
        "ece": 0.1,
    }
    output.show(table.table([row, {**row, "loss": "other"}]))

    assert f" {name} " in capsys.readouterr().out


# --- width -------------------------------------------------------------------------------------


def wide():
    made = Table(title="wide", title_justify="left")
    for i in range(40):
        made.add_column(f"column {i}", justify="right")
    made.add_row(*(f"{i}.123456789" for i in range(40)))
    return made


@pytest.mark.parametrize("columns", [None, "40"])
def test_a_table_that_goes_to_a_file_is_as_wide_as_it_is(columns, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", columns) if columns else monkeypatch.delenv("COLUMNS", False)
    output.show(wide())
    out = capsys.readouterr().out

    assert "…" not in out
    for i in range(40):
        assert f" {i}.123456789 " in out
        assert f" column {i} " in out


def test_a_table_in_a_narrow_terminal_keeps_every_digit(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("FORCE_COLOR", "1")
    output.show(wide())
    out = capsys.readouterr().out

    assert "…" not in out
    assert sum(c.isdigit() for c in out.split("column")[-1]) >= 9 * 40


# --- streams -----------------------------------------------------------------------------------

COMMAND = """
import sys
from pathlib import Path
from rich.console import Console
from rich.table import Table
from edl_jax import cli
from edl_jax.runs import output
def command():
    print("begun", flush=True)
    with output.progress_bar("steps/s") as progress:
        task = progress.add_task("working ± · ⁴ │", total=3)
        for i in range(3):
            progress.update(task, advance=1)
    table = Table("property ± ⁴ ·", title="│")
    table.add_row("10⁴")
    output.show(table)
    Path("result").write_text("whole")
    print("± · │ ⁴ \\udcff" * 10000)
cli.main(command)
"""
SHELL = {
    "closed pipe": ("| true", 141, ""),
    "head": ("| head -n 1", 141, ""),
    "closed stdout": (">&-", 0, ""),
    "closed stdin and stdout": ("<&- >&-", 0, ""),
    "closed stderr": ("2>&-", 0, ""),
    "full disk": (
        "> /dev/full",
        2,
        "error: cannot write to stdout: [Errno 28] No space left on device\n",
    ),
}


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "ascii"])
@pytest.mark.parametrize(("redirection", "status", "said"), SHELL.values(), ids=SHELL)
def test_a_result_is_kept_whatever_becomes_of_the_output(
    tmp_path, redirection, status, said, encoding
):
    """The status is the command's, not that of the last one in its pipe."""
    line = f'"$0" -W error -c "$1" {redirection}'
    result = subprocess.run(
        ["bash", "-c", f"{line}; exit ${{PIPESTATUS[0]}}", sys.executable, COMMAND],
        cwd=tmp_path,
        env=os.environ | {"PYTHONIOENCODING": encoding},
        capture_output=True,
        check=False,
    )

    assert (result.returncode, result.stderr.decode()) == (status, said)
    assert (tmp_path / "result").read_text() == "whole"


def test_an_error_keeps_its_line_and_status_when_nobody_reads_stdout():
    code = "print('x', flush=True); raise EdlError('this')"
    code = f"from edl_jax import cli; from edl_jax.errors import EdlError\ndef f(): {code}\n"
    result = subprocess.run(
        ["bash", "-c", '"$0" -c "$1" > /dev/full', sys.executable, f"{code}cli.main(f)"],
        capture_output=True,
        check=False,
    )

    assert (result.returncode, result.stderr) == (2, b"error: this\n")


@pytest.mark.parametrize("encoding", ["latin-1", "ascii"])
def test_what_cannot_be_encoded_is_written_with_backslashes(encoding):
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    with contextlib.redirect_stdout(stream):
        cli.main(lambda: print("10⁴ \udcff"))
    stream.flush()

    assert stream.buffer.getvalue() == b"10\\u2074 \\udcff\n"


def test_the_streams_are_as_before_afterwards(capsys):
    before = sys.stdout, sys.stderr
    cli.main(lambda: None)
    with pytest.raises(SystemExit):
        cli.main(lambda: sys.exit(3))

    assert (sys.stdout, sys.stderr) == before


def test_a_progress_bar_fits_a_terminal_of_80_columns(monkeypatch):
    screen = io.StringIO()
    console = Console(file=screen, width=80, force_terminal=True, color_system=None)
    monkeypatch.setattr(output, "_console", lambda: console)
    with output.progress_bar("examples/s") as progress:
        text = "edl-robust-of-a-long-name, tuning rate 0.03, epoch 12"
        task = progress.add_task(text, total=12_288_000)
        progress.update(task, completed=12_000_000)
        shown = progress.get_renderable()
    lines = console.render_lines(shown, console.options)
    assert len(lines) == 1 and sum(len(part.text) for part in lines[0]) <= 80
    assert "edl-robust" in "".join(part.text for part in lines[0])
