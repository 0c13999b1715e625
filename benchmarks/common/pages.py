"""Where the tables of a benchmark are shown: Markdown, between two marks of a page."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from edl_jax.errors import EdlError

ROOT = Path(__file__).parent.parent.parent
README, DOCS = ROOT / "README.md", ROOT / "docs"


def markdown_table(headings: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """A Markdown table.

    >>> print(markdown_table(["loss", "accuracy"], [["brier", "0.9"]]))
    | loss | accuracy |
    |---|---|
    | brier | 0.9 |
    """
    rows = [f"| {' | '.join(cells)} |" for cells in lines]
    return "\n".join([f"| {' | '.join(headings)} |", "|---" * len(headings) + "|", *rows])


def between_marks(text: str, name: str, block: str) -> str:
    """``text`` with ``block`` between the two comments that mark where ``name`` goes.

    Raises:
      EdlError: ``text`` has no such comments.

    >>> between_marks("<!-- x -->\\nold\\n<!-- /x -->", "x", "new")
    '<!-- x -->\\nnew\\n<!-- /x -->'
    """
    first, last = f"<!-- {name} -->\n", f"<!-- /{name} -->"
    before, _, rest = text.partition(first)
    _, found, after = rest.partition(last)
    if not found:
        raise EdlError(f"no place for {name}: expected the line {first.strip()} and {last.strip()}")
    return before + first + block + "\n" + last + after


def with_blocks(text: str, blocks: Mapping[str, str]) -> str:
    """``text`` with each of ``blocks`` between its marks, see :func:`between_marks`."""
    for name, block in blocks.items():
        text = between_marks(text, name, block)
    return text


def folded(title: str, block: str) -> str:
    """``block`` under a line that unfolds it.

    >>> print(folded("all losses", "| a |"))
    <details markdown="1"><summary>all losses</summary>
    <BLANKLINE>
    | a |
    <BLANKLINE>
    </details>
    """
    return f'<details markdown="1"><summary>{title}</summary>\n\n{block}\n\n</details>'


def made_by(content: Mapping[str, Any], benchmark: str, packages: Sequence[str]) -> str:
    """A sentence that says which code, versions and machine made the rows of a results file.

    Args:
      content: of the file.
      benchmark: its name.
      packages: whose versions are named.
    """
    commits = dict.fromkeys(row["commit"][:7] for row in content["rows"] if row["commit"])
    environment = content["meta"]["environment"]
    versions = ", ".join(f"{name} {environment[name]}" for name in packages)
    return folded(
        f"Made from <code>benchmarks/results/{benchmark}.json</code>, with {versions} on "
        f"{environment['device']}",
        f"`python -m benchmarks.{benchmark}` made the rows, at the commits {', '.join(commits)}; "
        f"`python -m benchmarks.{benchmark}.table` makes the tables and pictures of them.",
    )
