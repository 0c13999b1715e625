"""Pieces of a report's page as HTML: tables, and figures in cards; all text in them is escaped."""

from collections.abc import Iterable, Sequence
from html import escape

import numpy as np
import plotly.graph_objects as go

from edl_jax.report.figures import Panel, height


class Cards:
    """Figures in cards, numbered through the page."""

    def __init__(self) -> None:
        self._count = 0

    def grid(self, panels: Iterable[Panel]) -> str:
        cards = [self._card(panel) for panel in panels]
        kind = "grid pairs" if len(cards) == 4 else "grid"
        return f'<div class="{kind}">{"".join(cards)}</div>'

    def _card(self, panel: Panel) -> str:
        self._count += 1
        style = "" if panel.wide else f' style="height: {height(panel.figure)}px"'
        kind = "card wide" if panel.wide else "card"
        note = f"<p>{escape(panel.note)}</p>" if panel.note else ""
        title = escape(panel.title)
        return (
            f'<figure class="{kind}"><figcaption><h3>{title}</h3>{note}</figcaption>'
            f'<div class="plot" id="plot-{self._count}" role="group" aria-label="{title}"'
            f"{style}></div>"
            f'<script type="application/json">{_script_json(panel.figure)}</script></figure>'
        )


def _script_json(figure: go.Figure) -> str:
    """JSON that no text in it can make the end of its script element."""
    return figure.to_json().replace("<", "\\u003c")


def table(
    head: Sequence[str],
    rows: Iterable[Sequence[str]],
    caption: str = "",
    *,
    numbers: bool = False,
    prose: bool = False,
    strong: Sequence[bool] = (),
) -> str:
    """An HTML table in a box of its own that scrolls; every cell is escaped.

    Args:
      head: headings of the columns.
      rows: cells; the first of a row is its heading.
      caption: what the table is.
      numbers: whether all cells but the first of a row are numbers, set flush right.
      prose: whether the second column holds sentences, which need some width.
      strong: which rows are set in bold; none by default.

    >>> "&lt;b&gt;" in table(["<b>"], [])
    True
    """
    kinds = [' class="number"' if numbers and i else "" for i in range(len(head))]
    if prose:
        kinds[1] = ' class="prose"'
    cells = "".join(
        f'<th scope="col"{kind}>{escape(str(text))}</th>'
        for text, kind in zip(head, kinds, strict=True)
    )
    body = []
    for i, row in enumerate(rows):
        first, *others = map(str, row)
        line = f'<th scope="row">{escape(first)}</th>'
        line += "".join(
            f"<td{kind}>{escape(text)}</td>" for text, kind in zip(others, kinds[1:], strict=True)
        )
        mark = ' class="mean"' if i < len(strong) and strong[i] else ""
        body.append(f"<tr{mark}>{line}</tr>")
    said = f"<h3>{escape(caption)}</h3>" if caption else ""
    return (
        f'<div class="table">{said}<div class="scroll" tabindex="0" role="region"'
        f' aria-label="{escape(caption or head[0])}"><table><thead><tr>{cells}</tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table></div></div>"
    )


def as_text(value: object) -> str:
    """A value as a cell of a table shows it.

    >>> as_text((0.12345, None, True))
    '0.1235, none, yes'
    """
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        return ", ".join(map(as_text, value))
    return "none" if value is None else str(value)
