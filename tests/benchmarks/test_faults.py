"""The faults benchmark in small: every kind of fault is met, and none of them does harm."""

import json
import os
from unittest import mock

import pytest

from benchmarks.faults.__main__ import command
from benchmarks.faults.cells import QUICK
from benchmarks.faults.processes import sound_log


def test_no_fault_loses_anything_or_lets_anything_in(tmp_path):
    with mock.patch.dict(os.environ):  # where caches are is set for the processes that it starts
        command(["--quick", "--output", str(tmp_path / "faults.json")])
    results = json.loads((tmp_path / "faults.json").read_text())["results"]

    for name in ("pretrain", "transfer"):
        found = results[f"kills of {name}"]
        assert found["resumed"] == found["bit-identical"] == found["kills"] == 1
        assert found["unbroken runs that differ"] == found["logs with a broken line"] == 0
    for kind in ("artifacts", "checkpoints"):
        found = results[f"mutated {kind}"]
        assert found.pop("executed code") == 0
        assert found.pop("peak MiB") < 1024
        assert found.keys() <= {"refused", "loaded, right", "no arrays"}
        assert found["refused"] > QUICK.mutations / 2
    outcomes = {"exit 0", "exit 2", "stored: exit 0", "stored: exit 2"}
    assert results["command lines"].keys() <= outcomes
    assert results["directories of others"] == {"refused": 2, "untouched": 2}
    unread = {"tracebacks": 0, "| head -n 1: status 141": 2, "loss kept": 2}
    assert results["outputs that nobody reads"] == unread
    happened = ("stopped", "resumed elsewhere", "bit-identical", "ignored as told")
    assert results["signals"] == dict.fromkeys(happened, 2)
    memory = results["memory"]
    assert memory["exit status"] == 0
    assert memory["lines in the log"] == memory["generations"]


@pytest.mark.parametrize(
    ("log", "sound"), [(b"", True), (b'{"a": 1}\n', True), (b'{"a": 1}\n{"a"', False)]
)
def test_a_log_with_half_a_line_is_not_sound(tmp_path, log, sound):
    (tmp_path / "metrics.jsonl").write_bytes(log)
    assert sound_log(tmp_path / "metrics.jsonl") == sound
