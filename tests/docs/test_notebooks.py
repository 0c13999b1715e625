"""The notebooks: script and .ipynb say the same, run, warn of nothing and write nothing."""

import re
import runpy
from pathlib import Path

import pytest

jupytext = pytest.importorskip("jupytext")
nbformat = pytest.importorskip("nbformat")

NOTEBOOKS = Path(__file__).parent.parent.parent / "notebooks"
TOOL = runpy.run_path(str(NOTEBOOKS / "__main__.py"))
SCRIPTS = [pytest.param(path, id=name) for name, path in TOOL["SCRIPTS"].items()]
MAX_BYTES = 300_000  # what GitHub still shows quickly


def outputs(notebook):
    return [out for cell in notebook.cells for out in cell.get("outputs", [])]


def pictures(notebook):
    return sum("image/png" in out.get("data", {}) for out in outputs(notebook))


def complaints(notebook):
    """What was written to stderr, warnings for one, and what failed."""
    return [out for out in outputs(notebook) if out.get("name") == "stderr" or "ename" in out]


def texts(notebook):
    """What was printed, and the tables."""
    return [out.get("text") or out["data"].get("text/markdown") for out in outputs(notebook)]


def committed(script):
    return nbformat.read(script.with_suffix(".ipynb"), as_version=4)


def test_every_notebook_is_in_the_list_of_questions_and_has_a_script():
    named = re.findall(r"\]\((\w+)\.ipynb\)", (NOTEBOOKS / "README.md").read_text())
    assert sorted(named) == sorted(TOOL["SCRIPTS"])
    assert sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb")) == sorted(named)


@pytest.mark.parametrize("script", SCRIPTS)
def test_the_pair_agrees(script):
    pair = jupytext.read(script), committed(script)
    one, other = ([(cell.cell_type, cell.source) for cell in n.cells] for n in pair)
    assert one == other, f"run: python notebooks {script.stem}"


@pytest.mark.parametrize("script", SCRIPTS)
def test_what_is_committed_is_whole_and_light(script):
    notebook, text = committed(script), script.with_suffix(".ipynb").read_text()
    assert notebook.metadata.kernelspec.name == "python3"
    assert len(text.encode()) < MAX_BYTES
    assert pictures(notebook) >= 2
    assert complaints(notebook) == []
    assert not re.search(r'["\' ]/(home|tmp|root|Users|work)/', text)


@pytest.mark.parametrize("script", SCRIPTS)
def test_it_begins_with_a_question_and_ends_with_the_answer(script):
    first, *_, last = jupytext.read(script).cells
    assert re.match(r"# .+\?\n", first.source)
    assert last.cell_type == "markdown"
    headings = re.findall(r"^## (.*)$", script.read_text().replace("# ##", "##"), re.M)
    assert headings[-1] == "The answer"


@pytest.mark.parametrize("script", SCRIPTS)
def test_it_runs_warns_of_nothing_and_writes_nothing(script, tmp_path):
    notebook = TOOL["execute"](script, tmp_path)
    assert complaints(notebook) == []
    assert pictures(notebook) == pictures(committed(script))
    assert list(tmp_path.iterdir()) == []
    if script.stem == "compare_mutations":  # which runs nothing and shows the committed results
        assert texts(notebook) == texts(committed(script)), "run: python notebooks"


def test_an_unknown_name_is_one_line_that_names_it(capsys):
    with pytest.raises(SystemExit) as stopped:
        TOOL["main"](["nonesuch"])
    assert stopped.value.code == 2
    message = capsys.readouterr().err
    assert message.startswith("notebook nonesuch: expected one of ") and message.count("\n") == 1
