"""Commands as processes of their own, which are killed, watched and compared."""

import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.common import toy_data

SEARCH = [
    *("--population-size", "8", "--batch-size", "32"),
    *("--num-classes", "3", "--width", "4"),
    *("--max-rise", "1"),  # kept short, a search finds no good loss, but one to compare
]
TRAINING = [
    *("--loss", "cross_entropy", "edl-base", "--dataset", toy_data.NAME, "--model", "mlp"),
    *("--width", "8", "--batch-size", "10", "--seeds", "0", "1", "--label-noise", "0.2"),
]
OFTEN = ["--checkpoint-every", "0"]
RESULT = ("loss.npz", "metrics.jsonl")


def start(command: str, directory: Path, *args: str) -> subprocess.Popen[bytes]:
    """Start a command in a process of its own."""
    line = [sys.executable, "-m", f"edl_jax.{command}", "--output-dir", str(directory), *args]
    log = open(directory.with_suffix(".log"), "ab")  # noqa: SIM115
    with log:
        return subprocess.Popen(line, stdout=log, stderr=log)


def wait_for(path: Path, process: subprocess.Popen[bytes]) -> None:
    """Wait until ``path`` exists or ``process`` has ended."""
    while process.poll() is None and not path.exists():
        time.sleep(0.002)


def kills(command: str, args: Sequence[str], work: Path, number: int) -> dict[str, Any]:
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
    """The parts of a run that must agree: names, artifact, log, and the summary but for times."""
    found: dict[str, Any] = {"names": sorted(path.name for path in directory.iterdir())}
    found |= {n: (directory / n).read_bytes() for n in RESULT if (directory / n).exists()}
    summary = directory / "summary.json"
    if summary.exists():
        found["summary"] = json.loads(summary.read_text()) | {"wall_time_s": None}
    return found


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
