"""What a command settles for JAX, and leaves alone where the user has."""

import os
import subprocess
import sys
import warnings

import pytest

from edl_jax import startup


@pytest.fixture
def before_jax(monkeypatch, tmp_path):
    """The environment of a process that has not imported JAX, as it stands after the test."""
    monkeypatch.setattr(os, "environ", {"XDG_CACHE_HOME": str(tmp_path)})
    monkeypatch.delitem(sys.modules, "jax", raising=False)
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    return os.environ


def jax_variables(environment):
    return {name: value for name, value in environment.items() if name.startswith("JAX_")}


def test_compilations_are_kept_with_a_limit(before_jax, tmp_path):
    startup.keep_compilations()

    assert before_jax["JAX_COMPILATION_CACHE_DIR"] == str(tmp_path / "edl_jax" / "compilations")
    assert (tmp_path / "edl_jax" / "compilations").is_dir()
    assert int(before_jax["JAX_COMPILATION_CACHE_MAX_SIZE"]) == 2**30


def test_a_place_that_the_user_has_said_stays(before_jax):
    before_jax["JAX_COMPILATION_CACHE_DIR"] = "elsewhere"
    startup.keep_compilations()

    assert jax_variables(before_jax) == {"JAX_COMPILATION_CACHE_DIR": "elsewhere"}


def test_nothing_is_kept_where_nothing_can_be_written(before_jax, tmp_path):
    before_jax["XDG_CACHE_HOME"] = str(tmp_path / "file" / "below")
    (tmp_path / "file").write_text("")
    startup.keep_compilations()

    assert jax_variables(before_jax) == {}


# --- processors --------------------------------------------------------------------------------


@pytest.mark.parametrize(("processors", "devices"), [(2, "2"), (64, "8")])
def test_a_device_of_each_processor(before_jax, monkeypatch, processors, devices):
    monkeypatch.setattr(startup, "num_processors", lambda: processors)
    startup.split_processors()

    assert before_jax["JAX_NUM_CPU_DEVICES"] == devices
    assert before_jax["XLA_FLAGS"] == "--xla_cpu_multi_thread_eigen=false"


@pytest.mark.parametrize("settled", ["JAX_NUM_CPU_DEVICES", "XLA_FLAGS"])
def test_what_the_user_has_said_of_processors_stays(before_jax, monkeypatch, settled):
    monkeypatch.setattr(startup, "num_processors", lambda: 4)
    before_jax[settled] = "as I like it"
    before = dict(before_jax)
    startup.split_processors()

    assert before_jax == before


def test_one_processor_is_left_alone(before_jax, monkeypatch):
    monkeypatch.setattr(startup, "num_processors", lambda: 1)
    before = dict(before_jax)
    startup.split_processors()

    assert before_jax == before


# --- compilations ------------------------------------------------------------------------------

TWICE = """
from edl_jax.startup import keep_compilations
keep_compilations()
import jax, jax.numpy as jnp
from edl_jax.losses.networks import make_network
network = make_network("symmetric", 8, 5)
params = network.init(jax.random.key(0))
loss = jax.jit(network.apply)(params, jnp.ones((7, 5)), jnp.zeros(7, int))
print(float(loss[0]))
"""


@pytest.fixture
def kept_and_said(tmp_path):
    """Compiles in a process of its own; the entries of its cache, stdout and stderr."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("JAX_")}
    environment |= {"XDG_CACHE_HOME": str(tmp_path), "JAX_PLATFORMS": "cpu"}
    environment["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"

    def run():
        line = [sys.executable, "-c", TWICE]
        done = subprocess.run(line, check=True, env=environment, capture_output=True)
        kept = (tmp_path / "edl_jax/compilations").glob("*-cache")
        return {entry: entry.stat().st_mtime_ns for entry in kept}, done.stdout, done.stderr

    return run


def test_what_one_process_compiled_the_next_one_reads(kept_and_said):
    first = kept_and_said()

    assert first[0]
    assert kept_and_said() == first


def test_a_damaged_compilation_is_replaced_and_nobody_hears_of_it(kept_and_said):
    entries, said, _ = kept_and_said()
    damaged = max(entries, key=lambda entry: entry.stat().st_size)
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[: len(whole) // 2])

    _, said_then, complained = kept_and_said()
    assert said_then == said
    assert b"compilation cache" not in complained
    assert damaged.stat().st_size > len(whole) // 2
    assert kept_and_said()[0][damaged] == damaged.stat().st_mtime_ns


# --- no home -----------------------------------------------------------------------------------

HOMELESS = """
import os, pwd, sys
def unknown(uid):
    raise KeyError(uid)
pwd.getpwuid = unknown
del os.environ["HOME"]
from importlib import import_module
from edl_jax import cli
from edl_jax.__main__ import run
cli.main(lambda: run(sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def homeless(tmp_path_factory, toy_data_dir):
    """Runs a command as a user whom the system does not know, one after another in a directory."""
    directory = tmp_path_factory.mktemp("homeless")
    unsaid = ("XDG_", "MPLCONFIGDIR", "LOGNAME", "USER", "USERNAME")

    def run(*args):
        environment = {k: v for k, v in os.environ.items() if not k.startswith(unsaid)}
        if "analyze" in args:  # to compile anew takes long, so that one command does it
            environment.pop("JAX_COMPILATION_CACHE_DIR", None)
        line = [sys.executable, "-W", "error::ResourceWarning", "-c", HOMELESS]
        line += [str(toy_data_dir) if arg == "DATA" else arg for arg in args]
        return subprocess.run(
            line, cwd=directory, env=environment, capture_output=True, text=True, check=False
        )

    return run


TINY = (
    "--max-rise 1 --population-size 8 --num-generations 2 --batch-size 32 --num-classes 3 --width 4"
)
LINES = {
    "pretrain": f"pretrain --output-dir a {TINY}",
    "transfer": "transfer --loss gce a --output-dir b --data-dir DATA --dataset toy_colours"
    " --model mlp --width 8 --batch-size 16 --epochs 1 --train-size 32",
    "analyze": "analyze gce a --num-classes 3 --output-dir c",
    "report": "report a b --output d.html",
    "export": "export a",
}


def test_every_command_works_without_a_home(homeless):
    for name, line in LINES.items():
        asked = homeless(name, "--help")
        assert (asked.returncode, asked.stderr) == (0, ""), name
        done = homeless(*line.split())
        assert (done.returncode, done.stderr) == (0, ""), name


def test_without_a_home_there_is_no_cache(before_jax, monkeypatch):
    def no_home():
        raise RuntimeError("Could not determine home directory.")

    del before_jax["XDG_CACHE_HOME"]
    monkeypatch.setattr(startup.Path, "home", no_home)

    assert startup.cache_dir() is None
    startup.keep_compilations()
    assert jax_variables(before_jax) == {}
