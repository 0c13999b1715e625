"""Work that could be lost: directories of others, outputs that nobody reads, signals."""

import itertools
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from benchmarks.faults.processes import OFTEN, RESULT, wait_for

# What users keep where a run is told to go: name to content.
FOREIGN: dict[str, dict[str, str]] = {
    "of another trainer": {"checkpoint-500/model": "mine", "tensorboard/events": "mine"},
    "a log": {"metrics.jsonl": "{}\n", "summary.json": "{}", "report.html": "mine"},
    "a model": {"config.json": '{"model_type": "bert"}', "loss.npz": "mine"},
    "a damaged run": {"config.json": "{", "checkpoint.json": "{}", "loss.npz": "mine"},
}
FLAGS = ((), ("--overwrite",), ("--resume",))
OUTPUTS = ("| head -n 1", ">&-", "> /dev/full", "2>&-")
ENCODINGS = ("utf-8", "latin-1", "ascii")
SIGNALS = (signal.SIGHUP, signal.SIGTERM, signal.SIGINT)


def shell(line: str, *args: str, cwd: Path, **environment: str) -> subprocess.Popen[bytes]:
    """Start a line of bash in which ``"$0" "$@"`` is Python with ``args``."""
    root = str(Path(__file__).parents[2])
    return subprocess.Popen(
        ["bash", "-c", line, sys.executable, *args],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": root} | environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def foreign(args: Sequence[str], work: Path, most: int) -> Counter[str]:
    """Tell searches to go where something else is: they must refuse in one line, and touch it not.

    Args:
      args: options of the search.
      work: an empty directory.
      most: how many at the most.
    """
    counts = Counter[str]()
    for files, flags in itertools.islice(itertools.product(FOREIGN.values(), FLAGS), most):
        shutil.rmtree(work / "theirs", ignore_errors=True)
        for name, content in files.items():
            path = work / "theirs" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        before = everything(work)
        line = ("-m", "edl_jax.pretrain", "--output-dir", "theirs", *args, *flags)
        process = shell('exec "$0" "$@"', *line, cwd=work)
        said = process.communicate()[1]
        refused = process.returncode == 2 and said.count(b"\n") == 1
        counts["refused" if refused else f"not refused: {files.keys()} {flags}"] += 1
        counts["untouched" if everything(work) == before else "touched"] += 1
    return counts


def everything(directory: Path) -> dict[Path, bytes | None]:
    return {path: path.read_bytes() if path.is_file() else None for path in directory.rglob("*")}


def outputs(args: Sequence[str], work: Path, most: int) -> Counter[str]:
    """Take a search's output away: its loss must be that of one whose output was read."""
    counts = Counter[str]()
    line = ("-m", "edl_jax.pretrain", *args, "--output-dir")
    process = shell('exec "$0" "$@"', *line, "read", cwd=work)
    assert not process.communicate()[1] and process.returncode == 0
    expected = {name: (work / "read" / name).read_bytes() for name in RESULT}
    for number, (output, encoding) in enumerate(
        itertools.islice(itertools.product(OUTPUTS, ENCODINGS), most)
    ):
        run = f"unread-{number}"
        text = f'"$0" "$@" {output}; exit ${{PIPESTATUS[0]}}'
        process = shell(text, *line, run, cwd=work, PYTHONIOENCODING=encoding)
        said = process.communicate()[1]
        counts["tracebacks"] += b"Traceback" in said
        counts[f"{output}: status {process.returncode}"] += 1
        found = {n: p.read_bytes() for n in RESULT if (p := work / run / n).exists()}
        counts["loss kept" if found == expected else f"loss lost: {output} {encoding}"] += 1
    return counts


def signals(args: Sequence[str], work: Path, most: int) -> Counter[str]:
    """Stop comparisons by signals, and go on with them from another directory.

    Args:
      args: options of the comparison; a path among them begins in ``work``.
      work: the directory to start in.
      most: how many signals at the most.
    """
    counts = Counter[str]()
    for number in SIGNALS:  # a shell lets what stands in the background ignore SIGINT
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    elsewhere = work / "elsewhere"
    elsewhere.mkdir()
    line = ("-m", "edl_jax.transfer", *args, *OFTEN, "--output-dir")
    process = shell('exec "$0" "$@"', *line, "whole", cwd=work)
    assert not process.communicate()[1] and process.returncode == 0
    expected = (work / "whole" / "metrics.jsonl").read_bytes()
    for number in SIGNALS[:most]:
        run = work / number.name
        process = shell('exec "$0" "$@"', *line, run.name, cwd=work)
        wait_for(run / "checkpoint.json", process)
        process.send_signal(number)
        process.communicate()
        stopped = process.returncode == 128 + number
        counts["stopped" if stopped else f"{number.name}: status {process.returncode}"] += 1
        resume = ("-m", "edl_jax.transfer", "--resume", "--output-dir", f"../{run.name}")
        resumed = shell('exec "$0" "$@"', *resume, cwd=elsewhere)
        resumed.communicate()
        status = resumed.returncode
        counts["resumed elsewhere" if status == 0 else f"resume failed with {status}"] += 1
        same = (run / "metrics.jsonl").read_bytes() == expected
        counts["bit-identical" if same else "different"] += 1

        run = work / f"ignored-{number.name}"
        trap = f'trap \'\' {number.name.removeprefix("SIG")}; exec "$0" "$@"'
        process = shell(trap, *line, run.name, cwd=work)
        wait_for(run / "checkpoint.json", process)
        process.send_signal(number)
        process.communicate()
        whole = process.returncode == 0 and (run / "summary.json").exists()
        counts["ignored as told" if whole else f"not ignored: {number.name}"] += 1
    return counts
