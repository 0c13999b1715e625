"""``python notebooks [NAME ...]`` runs the scripts and writes the .ipynb beside them."""

import os
import sys
import tempfile
from pathlib import Path

try:
    import jupytext
    import nbformat
    from nbclient import NotebookClient
except ModuleNotFoundError as error:
    print(f'notebooks need {error.name}: pip install -e ".[dev]"', file=sys.stderr)
    sys.exit(2)

HERE = Path(__file__).resolve().parent
SCRIPTS = {path.stem: path for path in sorted(HERE.glob("[!_]*.py"))}


def execute(script: Path, directory: Path) -> nbformat.NotebookNode:
    """The notebook of ``script`` with its outputs, run in ``directory`` by a fresh kernel.

    The kernel imports the packages beside ``notebooks``, whatever else is installed.

    Raises:
      nbclient.exceptions.CellExecutionError: a cell failed.
    """
    notebook = jupytext.read(script)
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    notebook.metadata = nbformat.from_dict({"kernelspec": kernel})
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number}"  # jupytext's are random, and would change each time
    client = NotebookClient(notebook, timeout=600, record_timing=False, coalesce_streams=True)
    paths = [str(HERE.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    client.execute(cwd=str(directory), env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)})
    return notebook


def main(names: list[str]) -> None:
    """Write the notebooks called ``names``, all of them by default."""
    unknown = [name for name in names if name not in SCRIPTS]
    if unknown:
        print(f"notebook {unknown[0]}: expected one of {', '.join(SCRIPTS)}", file=sys.stderr)
        sys.exit(2)
    for name in names or SCRIPTS:
        script = SCRIPTS[name]
        with tempfile.TemporaryDirectory() as directory:
            notebook = execute(script, Path(directory))
        nbformat.write(notebook, script.with_suffix(".ipynb"))
        print(script.with_suffix(".ipynb"))


if __name__ == "__main__":
    main(sys.argv[1:])
