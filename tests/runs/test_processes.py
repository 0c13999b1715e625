"""Several processes share a run: what two give, and what they say when they cannot meet."""

import socket
import subprocess
import sys

import numpy as np
import pytest

from edl_jax.errors import OptionError
from edl_jax.losses.loading import load_loss
from edl_jax.runs.options import ClusterOptions
from tests.search.test_layout import OPTIONS, environment


def free_port():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


def pretrain(directory, *options):
    command = [sys.executable, "-m", "edl_jax.pretrain", *OPTIONS]
    return subprocess.Popen(
        [*command, f"--output-dir={directory}", *options],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def pretrain_with_two(directory):
    """Run both processes; their status and what they say to stderr."""
    address = f"--coordinator-address=127.0.0.1:{free_port()}"
    both = [
        pretrain(directory, "--distributed", address, "--num-processes=2", f"--process-id={i}")
        for i in range(2)
    ]
    said = [process.communicate(timeout=300)[1] for process in both]
    return [process.returncode for process in both], said


def test_two_processes_give_what_one_gives_and_one_of_them_writes(tmp_path):
    alone = pretrain(tmp_path / "one")
    _, said = alone.communicate(timeout=300)
    assert alone.returncode == 0, said
    status, said = pretrain_with_two(tmp_path / "two")
    assert status == [0, 0], said

    one, two = (tmp_path / name for name in ("one", "two"))
    assert {p.name for p in one.iterdir()} == {p.name for p in two.iterdir()}
    assert (one / "config.json").read_text() == (two / "config.json").read_text()
    assert len((two / "metrics.jsonl").read_text().splitlines()) == 10
    losses = load_loss(one), load_loss(two)
    np.testing.assert_allclose(*(x.params["theta"] for x in losses), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(*(x.scale for x in losses), rtol=1e-4)
    assert losses[1].provenance["environment"]["num_devices"] == 2

    # Where the first cannot begin, none of them does, and none waits for ever.
    before = {p.name: p.read_bytes() for p in two.iterdir()}
    status, said = pretrain_with_two(two)
    assert status == [2, 2]
    assert "expected a directory that does not hold a run" in said[0]
    assert "another process could not begin" in said[1]
    assert {p.name: p.read_bytes() for p in two.iterdir()} == before


ALONE = """
import sys
from edl_jax import cli, pretrain
from edl_jax.runs import processes
processes._MEET_WITHIN_S = 2
cli.main(lambda: pretrain.command(sys.argv[1:]))
"""


@pytest.mark.parametrize("number", [0, 1])
def test_a_process_whose_others_never_come_says_so_in_one_line(number, tmp_path):
    address = f"--coordinator-address=127.0.0.1:{free_port()}"
    place = ["--num-processes=2", f"--process-id={number}", f"--output-dir={tmp_path / 'run'}"]
    ended = subprocess.run(
        [sys.executable, "-c", ALONE, *OPTIONS, "--distributed", address, *place],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env=environment(),
    )

    assert ended.returncode == 2, ended.stderr
    expected = "error: --distributed: the processes did not find each other within 2 seconds\n"
    assert ended.stderr == expected
    assert not (tmp_path / "run").exists()


GOOD = {
    "distributed": True,
    "output_dir": "run",
    "coordinator_address": "host:1234",
    "num_processes": 2,
    "process_id": 1,
}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"distributed": False}, "coordinator_address host:1234: expected --distributed with it"),
        ({"coordinator_address": "host"}, "coordinator_address host: expected HOST:PORT"),
        ({"coordinator_address": "host:99999"}, "expected HOST:PORT"),
        ({"num_processes": 0, "process_id": None}, "num_processes 0: expected"),
        ({"process_id": 2}, "process_id 2: expected a whole number from 0 to 1"),
        ({"process_id": -1}, "process_id -1: expected"),
        ({"resume": True}, "resume with --distributed: expected one of the two"),
        ({"output_dir": None}, "distributed without --output-dir: expected a directory"),
    ],
)
def test_what_cannot_be_a_run_of_several_processes_is_refused(changes, said):
    with pytest.raises(OptionError) as caught:
        ClusterOptions(**GOOD | changes)
    assert said in str(caught.value)


def test_the_options_of_several_processes_may_be_left_to_the_cluster():
    ClusterOptions(**GOOD)
    ClusterOptions(distributed=True, output_dir="run")
    assert ClusterOptions(**GOOD).recorded() == {}
