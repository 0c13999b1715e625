"""Draws floors.svg, the floors of edl_jax, from the contract in pyproject.toml that holds them.

python docs/floors.py
"""

import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
WIDTH, HEIGHT, GAP = 720, 40, 8
WING, ROOM = ("#3f51b5", "#ffffff"), ("#c5cae9", "#1a237e")  # a folder, a single module


def floors() -> list[list[str]]:
    """The names on each floor, the top one first."""
    linter = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    (layers,) = (c["layers"] for c in linter["contracts"] if c.get("containers") == ["edl_jax"])
    return [layer.split(" | ") for layer in layers]


def picture() -> str:
    """The floors as SVG, each box as wide as its floor leaves it."""
    boxes = []
    for i, names in enumerate(floors()):
        width = (WIDTH - GAP * (len(names) - 1)) / len(names)
        for j, name in enumerate(names):
            x, y = j * (width + GAP), i * (HEIGHT + GAP)
            is_wing = (ROOT / "edl_jax" / name).is_dir()
            fill, ink = WING if is_wing else ROOM
            shape = f'x="{x:g}" y="{y}" width="{width:g}" height="{HEIGHT}" rx="4"'
            place = f'x="{x + width / 2:g}" y="{y + HEIGHT / 2 + 5:g}"'
            text = f"{name}{'/' if is_wing else ''}"
            boxes.append(f'<rect {shape} fill="{fill}"/><text {place} fill="{ink}">{text}</text>')
    height = len(floors()) * (HEIGHT + GAP) - GAP
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}"'
            ' font-family="monospace" font-size="15" text-anchor="middle">',
            *boxes,
            "</svg>\n",
        ]
    )


if __name__ == "__main__":
    (ROOT / "docs" / "floors.svg").write_text(picture())
