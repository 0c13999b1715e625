"""Files about suspect labels: a table as CSV, and a contact sheet of pictures."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from edl_jax.files import atomic_write
from edl_jax.plots import save
from edl_jax.suspects.ranking import Suspects
from edl_jax.training.data import Inputs

COLUMNS = ("example", "given", "suggested", "p_given", "p_suggested")
_ACROSS, _LONGEST_NAME = 10, 12


def class_name(names: Sequence[str], label: int) -> str:
    """The name of a class, or its number where classes have none.

    >>> class_name(["cat", "dog"], 1), class_name([], 1)
    ('dog', '1')
    """
    return names[label] if names else str(label)


def write_csv(
    suspects: Suspects, examples: Sequence[str], class_names: Sequence[str], path: Path
) -> None:
    """Write the suspect examples, the most suspect first, a row each.

    Args:
      suspects: of a training set.
      examples: what each of its examples is called.
      class_names: of its classes; may be empty.
      path: the file.

    Raises:
      EdlError: it cannot be written.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(COLUMNS)
    for i in suspects.indices:
        named = (class_name(class_names, of[i]) for of in (suspects.given, suspects.suggested))
        shares = (f"{of[i]:.4f}" for of in (suspects.p_given, suspects.p_suggested))
        writer.writerow([examples[i], *named, *shares])
    with atomic_write(path) as file:
        file.write(buffer.getvalue().encode())


def draw_sheet(
    suspects: Suspects,
    images: Inputs,
    class_names: Sequence[str],
    path: Path,
    number: int = 60,
) -> None:
    """Draw the most suspect pictures, each over its given label and the suggested class.

    Args:
      suspects: of the pictures; there is one at the least.
      images: uint8, or float from 0 to 1, ``[N, height, width, channels]``.
      class_names: of the classes; may be empty.
      path: the PNG file.
      number: pictures at the most.

    Raises:
      EdlError: it cannot be written.
    """
    shown = suspects.indices[:number]
    pictures = np.asarray(images[shown])
    rows = -(-len(shown) // _ACROSS)
    with matplotlib.rc_context({"figure.constrained_layout.use": True, "font.size": 9}):
        figure = Figure(figsize=(1.15 * _ACROSS, 1.6 * rows))
        for place, ax in enumerate(figure.subplots(rows, _ACROSS, squeeze=False).flat):
            ax.set_axis_off()
            if place >= len(shown):
                continue
            i = shown[place]
            picture = pictures[place]
            image = picture[..., :3] if picture.shape[-1] > 2 else picture[..., 0]
            ax.imshow(image, cmap="gray", interpolation="nearest")
            given, suggested = (
                class_name(class_names, of[i])[:_LONGEST_NAME]
                for of in (suspects.given, suspects.suggested)
            )
            ax.set_title(f"{given}\n→ {suggested}", fontsize=9, parse_math=False)
        figure.suptitle("labels that look wrong: given → suggested, the most suspect first")
        save(figure, path)
