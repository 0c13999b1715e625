"""Write one page about runs of pretrain and transfer that needs nothing but a browser.

The page holds its figures and plotly.js, about 5 MB of it, and asks no network for anything.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from edl_jax import cli
from edl_jax.errors import OptionError, require
from edl_jax.files import atomic_write
from edl_jax.runs.directory import REPORT

PROG = "python -m edl_jax.report"


@dataclass(frozen=True)
class ReportConfig:
    """Write one HTML page about runs of pretrain and transfer, to be read without a network."""

    run_dirs: tyro.conf.Positional[
        Annotated[tuple[Path, ...], tyro.conf.arg(metavar="RUN_DIR [RUN_DIR ...]")]
    ]
    """Directories of finished runs, shown side by side."""
    output: Path | None = None
    """The page, FILE.html; by default report.html in the run directory, for several runs in the
    current one. An older page of that name is replaced."""

    def __post_init__(self) -> None:
        require(len(self.run_dirs) > 0, "RUN_DIR", "not given", "at least one")
        if self.output is not None and self.output.suffix != ".html":
            raise OptionError("output", self.output, "a file name that ends in .html")

    @property
    def page(self) -> Path:
        """Where the page goes."""
        if self.output is not None:
            return self.output
        return self.run_dirs[0] / REPORT if len(self.run_dirs) == 1 else Path(REPORT)


def command(args: list[str] | None = None) -> None:
    """Run the command line ``args``."""
    config = cli.parse(ReportConfig, args, prog=PROG)
    page = config.page

    from edl_jax.report.runs import read_runs

    runs = read_runs(config.run_dirs)
    in_place = page.parent.is_dir() and not page.is_dir()
    require(in_place, "output", page, "a file in a directory that exists")

    from edl_jax.report.page import render

    content = render(runs).encode()
    with atomic_write(page) as file:
        file.write(content)
    print(f"Written: {page} ({page.stat().st_size / 1e6:.1f} MB), open it in a browser")


if __name__ == "__main__":
    cli.main(command)
