"""Generated command lines and stored configurations: exit 0, or one clear line and exit 2.

Only the work itself is left out, and what comes after it: a command that gets as far counts as one
that exits with 0.
"""

import contextlib
import io
import json
import os
import traceback
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from benchmarks.common import toy_data
from edl_jax import cli, pretrain, transfer
from edl_jax.search import pipeline
from edl_jax.training import comparison

COMMANDS = {"pretrain": pretrain, "transfer": transfer}

numbers = st.sampled_from(["0", "1", "2", "16", "-1", "0.5", "1e9", "1e400", "nan", "-inf", "2**3"])
words = st.sampled_from(["", "x", "../x", "None", "True", "--", "ä€", "a b", "\n", "{}", "[1]"])
anything = numbers | words | st.text(st.characters(codec="utf-8", exclude_characters="\0"))


def names(*good: str) -> st.SearchStrategy[str]:
    return st.sampled_from(good) | anything


directories = names("new", "new/er", "old", "finished", "file", "file/run", "/proc/x", "n" * 300)
OPTIONS: dict[str, dict[str, st.SearchStrategy[str]]] = {
    "pretrain": {
        "--preset": names("base", "quick", "paper"),
        "--strategy": names("ES", "SNES", "Open_ES"),
        "--network": names("symmetric", "concat"),
        "--mutation": names("gaussian", "chaotic"),
        "--map": names("logistic", "tent"),
        "--acts-on": names("direction", "recombination"),
        "--schedule": names("csa", "cosine"),
        "--restart-after": numbers,
        "--population-size": names("7", "8"),
        "--objective.margin": numbers,
        "--objective.severity": names("margin"),
        "--mixture.graded": numbers,
    },
    "transfer": {
        "--loss": names("gce", "edl-base", "broken.npz", "file", "old"),
        "--dataset": names(toy_data.NAME, "mnist", "broken"),
        "--data-dir": names("data", "old", "file", "nowhere"),
        "--model": names("mlp", "resnet8"),
        "--train-size": names("100", "121", "None"),
        "--label-noise": numbers,
        "--noise-kind": names("asymmetric"),
        "--momentum": numbers,
        "--epochs": names("3"),
    },
}
SHARED = {
    "--seed": numbers,
    "--seeds": numbers,
    "--width": numbers,
    "--batch-size": numbers,
    "--output-dir": directories,
    "--checkpoint-every": numbers,
}
FLAGS = ("--resume", "--overwrite", "--help", "--no-such-option", "stray", "--resume=1")
FIXED = {
    "pretrain": ["--output-dir", "new"],
    "transfer": [
        *("--output-dir", "new", "--data-dir", "data", "--dataset", toy_data.NAME),
        *("--loss", "gce", "--batch-size", "16"),
    ],
}


@st.composite
def command_lines(draw: st.DrawFn) -> tuple[str, list[str]]:
    """A command and its arguments: mostly sound ones, with a few that may not be."""
    command = draw(st.sampled_from(sorted(COMMANDS)))
    args = list(FIXED[command]) if draw(st.integers(0, 3)) else []
    options = OPTIONS[command] | SHARED
    for name in draw(st.lists(st.sampled_from(sorted(options)), max_size=2)):
        value = draw(options[name])
        args += draw(st.sampled_from([[name, value], [name, value], [f"{name}={value}"], [name]]))
    args += draw(st.lists(st.sampled_from(FLAGS), max_size=1))
    return command, args


@st.composite
def stored_configs(draw: st.DrawFn) -> tuple[str, list[str], bytes]:
    """A command that resumes a run, and that run's config.json, which may be anything."""
    command = draw(st.sampled_from(sorted(COMMANDS)))
    content = stored(command)
    odd: st.SearchStrategy[Any] = st.sampled_from(
        [None, -1, 2**80, 0.5, "x", "--help", "--", [], [1, "x"], {}, True]
    )
    for _ in range(draw(st.integers(0, 2))):
        key = draw(st.sampled_from([*sorted(content), "help", "resume", "no such"]))
        content[key] = draw(odd)
    text = json.dumps(content).encode()
    text = draw(st.sampled_from([text] * 8 + [b"", text[:40], b"[" * 10**5, b"\xff", b"7"]))
    return command, ["--resume", "--output-dir", "stored"], text


def stored(command: str) -> dict[str, Any]:
    """The config.json of a sound run."""
    if command == "pretrain":
        return {"command": command, **pretrain.PretrainConfig().recorded()}
    config = transfer.TransferConfig(
        loss=("gce",), dataset=toy_data.NAME, data_dir=Path("data"), model="mlp", batch_size=16
    )
    return {"command": command, **config.recorded()}


def workplace(directory: Path) -> None:
    """Runs, files and a data set for the generated command lines to name."""
    for name in ("old", "finished", "pictures"):
        (directory / name).mkdir()
    for name in ("old", "finished"):
        (directory / name / "config.json").write_text(json.dumps(stored("pretrain")))
    (directory / "finished" / "summary.json").write_text("{}")
    (directory / "file").write_text("mine")
    (directory / "broken.npz").write_bytes(b"PK\3\4 and no more")
    toy_data.prepare(directory / "data", directory / "pictures")


def snapshot(directory: Path) -> dict[Path, bytes | None]:
    return {
        path: path.read_bytes() if path.is_file() else None
        for path in directory.rglob("*")
        if "data" not in path.parts
    }


class Begun(BaseException):
    """A command has come to its work, which is left out."""


@contextlib.contextmanager
def without_work() -> Iterator[None]:
    """Let both commands end with :class:`Begun` where they would begin to work."""

    def begin(*args: object, **options: object) -> None:
        raise Begun

    with (
        mock.patch.object(pipeline, "evolve", begin),
        mock.patch.object(comparison, "compare", begin),
    ):
        yield


def outcome(command: str, args: list[str], directory: Path) -> str:
    """Run one command line in ``directory``: what became of it, in a word."""
    before = snapshot(directory)
    out, err, begun = io.StringIO(), io.StringIO(), False
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            cli.main(lambda: COMMANDS[command].command(args))
        status = 0
    except Begun:
        status, begun = 0, True
    except SystemExit as stop:
        status = stop.code if isinstance(stop.code, int) else 0
    except BaseException:
        return f"traceback: {command} {args} {traceback.format_exc().splitlines()[-1]}"
    after, line = snapshot(directory), err.getvalue()
    if status == 0:
        whole = begun or after == before
        return "exit 0" if whole and not line else f"exit 0, but partial: {command} {args}"
    if status != 2 or not line.startswith("error: ") or line.count("\n") != 1:
        return f"not one line: {command} {args} {status} {line!r}"
    return "exit 2" if after == before else f"left something: {command} {args}"


def restore(directory: Path, before: dict[Path, bytes | None]) -> None:
    """Remove what a run left, and bring back what it replaced."""
    for path in sorted(snapshot(directory).keys() - before.keys(), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    for path, content in before.items():
        if content is not None:
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(content)


def check(directory: Path, number: int) -> Counter[str]:
    """Run ``number`` command lines and a third as many stored configurations."""
    counts = Counter[str]()
    workplace(directory)
    initial = snapshot(directory)
    home = Path.cwd()
    few = settings(
        max_examples=number,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )

    @seed(0)
    @few
    @given(command_lines())
    def lines(example: tuple[str, list[str]]) -> None:
        counts[outcome(*example, directory)] += 1
        restore(directory, initial)

    @seed(0)
    @settings(few, max_examples=max(1, number // 3))
    @given(stored_configs())
    def configs(example: tuple[str, list[str], bytes]) -> None:
        command, args, content = example
        (directory / "stored").mkdir()
        (directory / "stored" / "config.json").write_bytes(content)
        counts[f"stored: {outcome(command, args, directory)}"] += 1
        restore(directory, initial)

    os.chdir(directory)
    try:
        with without_work(), mock.patch.dict(os.environ, XDG_CACHE_HOME=str(directory / "data")):
            lines()
            configs()
    finally:
        os.chdir(home)
    return counts
