"""What goes wrong in long runs, done on purpose and counted: kills, damaged files, bad options.

Kills: SIGKILL at random moments of pretrain and transfer runs that write checkpoints as often as
they can; each run is then resumed and compared, byte by byte, with one that was never stopped.
Damage: see benchmarks/faults/fuzzing.py. Options: see benchmarks/faults/command_lines.py. Memory: a search of
100,000 generations, watched from outside.
"""

import json
import multiprocessing
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.common import toy_data
from edl_jax import cli
from edl_jax.files import write_json

PROG = "python -m benchmarks.faults"
SEARCH = [
    *("--population-size", "8", "--batch-size", "32"),
    *("--num-classes", "3", "--width", "4"),
]
TRAINING = [
    *("--loss", "cross_entropy", "edl-base", "--dataset", toy_data.NAME, "--model", "mlp"),
    *("--width", "8", "--batch-size", "10", "--seeds", "0", "1", "--label-noise", "0.2"),
]
OFTEN = ["--checkpoint-every", "0"]
RESULT = ("loss.npz", "metrics.jsonl")


@dataclass(frozen=True)
class FaultsConfig:
    """Kill runs, damage files, mistype options and run for long; count what comes of it."""

    output: Path | None = None
    """Results file; benchmarks/results/faults.json, or with --quick one in runs/."""
    quick: bool = False
    """A few of each, in a minute or two."""


@dataclass(frozen=True)
class Amounts:
    """How much of each."""

    kills: int = 30
    mutations: int = 1100
    command_lines: int = 450
    generations: int = 100_000
    watched_from: int = 1_000
    search: int = 300
    epochs: int = 10


QUICK = Amounts(
    kills=1,
    mutations=52,
    command_lines=20,
    generations=500,
    watched_from=100,
    search=150,
    epochs=5,
)


# --- kills -------------------------------------------------------------------------------------


def start(command: str, directory: Path, *args: str) -> subprocess.Popen[bytes]:
    """Start a command in a process of its own."""
    line = [sys.executable, "-m", f"edl_jax.{command}", "--output-dir", str(directory), *args]
    log = open(directory.with_suffix(".log"), "ab")  # noqa: SIM115
    with log:
        return subprocess.Popen(line, stdout=log, stderr=log)


def wait_for(path: Path, process: subprocess.Popen[bytes]) -> None:
    while process.poll() is None and not path.exists():
        time.sleep(0.002)


def kills(command: str, args: list[str], work: Path, number: int) -> dict[str, Any]:
    """Kill ``number`` runs of a command, each once and anywhere, resume and compare them."""
    rng, counts = random.Random(0), Counter[str]()
    whole = work / f"{command}-unbroken"
    # The first compiles; the second, from the cache of compilations, says how long a run is.
    first = work / f"{command}-first"
    assert start(command, first, *args).wait() == 0, first.with_suffix(".log").read_text()
    process = start(command, whole, *args, *OFTEN)
    wait_for(whole / "config.json", process)
    begun = time.perf_counter()
    assert process.wait() == 0, whole.with_suffix(".log").read_text()
    duration = time.perf_counter() - begun
    expected = contents(whole)
    counts["unbroken runs that differ"] = int(contents(first) != expected)
    for i in range(number):
        directory = work / f"{command}-{i}"
        process = start(command, directory, *args, *OFTEN)
        wait_for(directory / "config.json", process)
        time.sleep(rng.uniform(0.0, duration))
        process.kill()
        if process.wait() == 0:
            counts["finished before the kill"] += 1
        counts[where(directory)] += 1
        counts["logs with a broken line"] += not sound_log(directory / "metrics.jsonl")
        resumed = start(command, directory, "--resume", *OFTEN).wait()
        counts["resumed" if resumed == 0 else f"resume failed with {resumed}"] += 1
        counts["bit-identical" if contents(directory) == expected else "different"] += 1
    return {**counts, "kills": number, "seconds of a run": round(duration, 1)}


def where(directory: Path) -> str:
    """Which moment a kill hit, from what it left."""
    names = {path.name for path in directory.iterdir()}
    if "summary.json" in names:
        return "killed after its end"
    found = {name for name in names if name.startswith("checkpoint-")}
    manifest = directory / "checkpoint.json"
    named = set()
    if manifest.exists():
        content = json.loads(manifest.read_text())
        named = {f"checkpoint-{content['number']}"} if content["files"] else set()
    if found != named or any(name.startswith(".checkpoint.json") for name in names):
        return "killed during a checkpoint"
    return "killed between checkpoints" if named else "killed before the first checkpoint"


def sound_log(path: Path) -> bool:
    """Whether every line of a log is whole."""
    lines = path.read_bytes().split(b"\n")
    return lines[-1] == b"" and all(isinstance(json.loads(line), dict) for line in lines[:-1])


def contents(directory: Path) -> dict[str, Any]:
    """What must be the same: names, artifact, log, and the summary but for times."""
    found: dict[str, Any] = {"names": sorted(path.name for path in directory.iterdir())}
    found |= {n: (directory / n).read_bytes() for n in RESULT if (directory / n).exists()}
    summary = directory / "summary.json"
    if summary.exists():
        found["summary"] = json.loads(summary.read_text()) | {"wall_time_s": None}
    return found


# --- memory ------------------------------------------------------------------------------------


def memory(work: Path, generations: int, watched_from: int) -> dict[str, Any]:
    """Resident memory of a long search, after its first generations and at most thereafter."""
    directory = work / "long"
    process = start("pretrain", directory, *SEARCH, "--num-generations", str(generations))
    log, page = directory / "metrics.jsonl", os.sysconf("SC_PAGE_SIZE")
    wait_for(log, process)
    size, lines, early, most, began = 0, 0, 0, 0, time.perf_counter()
    with open(log, "rb") as file:
        # What comes after the last generation, the pictures, is another matter.
        while process.poll() is None and lines < generations:
            statm = Path(f"/proc/{process.pid}/statm").read_text().split()
            size = int(statm[1]) * page
            while chunk := file.read(2**20):
                lines += chunk.count(b"\n")
            if watched_from <= lines < generations:
                early = early or size
                most = max(most, size)
            time.sleep(0.2)
    rate = lines / (time.perf_counter() - began)
    return {
        "generations": generations,
        "exit status": process.wait(),
        "lines in the log": log.read_bytes().count(b"\n"),
        f"MiB after {watched_from} generations": round(early / 2**20, 1),
        "MiB at most thereafter": round(most / 2**20, 1),
        "growth": round(most / early - 1, 4) if early else None,
        "generations/s": round(rate),
    }


# --- all of it ---------------------------------------------------------------------------------


def alone(function: Callable[..., Counter[str]], *args: Any) -> dict[str, int]:
    """Call a function in a process of its own, whose death is one of its results."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        try:
            return dict(pool.submit(function, *args).result())
        except BrokenProcessPool:
            return {"crashed: the process died": 1}


def sections(amounts: Amounts, work: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Name and counts of each kind of fault."""
    from importlib.resources import files

    from benchmarks.faults import command_lines
    from benchmarks.faults import fuzzing as mutations

    for name in ("pictures", "artifacts", "checkpoints", "lines"):
        (work / name).mkdir()
    toy_data.prepare(work / "data", work / "pictures")
    search = [*SEARCH, "--num-generations", str(amounts.search)]
    training = [*TRAINING, "--data-dir", str(work / "data"), "--epochs", str(amounts.epochs)]
    shipped = Path(str(files("edl_jax.losses") / "shipped" / "edl-base.npz"))
    number = amounts.mutations
    with ThreadPoolExecutor(1) as pool:
        long = pool.submit(memory, work, amounts.generations, amounts.watched_from)
        yield "kills of pretrain", kills("pretrain", search, work, amounts.kills)
        yield "kills of transfer", kills("transfer", training, work, amounts.kills)
        found = alone(mutations.artifacts, shipped, work / "artifacts", number)
        yield "mutated artifacts", found
        found = alone(mutations.checkpoints, work / "checkpoints", number)
        yield "mutated checkpoints", found
        found = alone(command_lines.check, work / "lines", amounts.command_lines)
        yield "command lines", found
        yield "memory", long.result()


def command(args: list[str] | None = None) -> None:
    """Run the command line ``args``."""
    config = cli.parse(FaultsConfig, args, prog=PROG)

    from benchmarks.common.results_file import RESULTS, meta

    default = Path("runs/faults_quick.json")
    output = config.output or (default if config.quick else RESULTS / "faults.json")
    output.parent.mkdir(parents=True, exist_ok=True)
    results: dict[str, Any] = {"meta": meta(), "results": {}}
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        os.environ["JAX_COMPILATION_CACHE_DIR"] = str(work / "compilations")
        os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
        os.environ["XDG_CACHE_HOME"] = str(work / "cache")
        for section, counts in sections(QUICK if config.quick else Amounts(), work):
            results["results"][section] = counts
            write_json(output, results)
            print(f"{section}: " + ", ".join(f"{name} {value}" for name, value in counts.items()))


if __name__ == "__main__":
    cli.main(command)
