"""TensorBoard's event files say what the log says: each step once, also after a resume."""

import pytest

from edl_jax import cli, errors, pretrain, transfer
from edl_jax.errors import EdlError
from edl_jax.runs.directory import RunDirectory
from edl_jax.runs.tensorboard import attach

ROWS = [{"epoch": i, "loss": "gce", "seed": 0, "nll": 1.5 / i, "ece": None} for i in range(1, 4)]


def test_numbers_become_scalars_and_each_series_a_run_of_its_own(tmp_path, read_events):
    with RunDirectory(tmp_path / "run", "transfer", {}) as run:
        attach(run, True, step="epoch", series=("loss", "seed"))
        for row in ROWS:
            run.log(**row)
            run.log(**row | {"loss": "a/b.npz"})
        run.finish({})

    losses = [(row["epoch"], {"nll": pytest.approx(row["nll"])}) for row in ROWS]
    expected = [(f"loss={n}/seed=0", *row) for n in ("a%2Fb.npz", "gce") for row in losses]
    assert read_events(tmp_path / "run" / "tensorboard") == expected


def test_nothing_is_written_unasked(tmp_path):
    with RunDirectory(tmp_path / "run", "transfer", {}) as run:
        attach(run, False, step="epoch")
        run.log(**ROWS[0])
        run.finish({})

    assert not (tmp_path / "run" / "tensorboard").exists()


@pytest.mark.parametrize("wanted", [False, True])
@pytest.mark.parametrize("had", [False, True])
def test_a_resumed_run_has_each_step_of_its_log_once(tmp_path, read_events, had, wanted):
    """Two rows, a checkpoint after the first; the second is logged again, and a third."""
    with RunDirectory(tmp_path, "transfer", {}) as run:
        attach(run, had, step="epoch")
        run.log(**ROWS[0])
        position = run.position()
        run.log(**ROWS[1])
    with RunDirectory(tmp_path, "transfer", {}, resume=True) as run:
        run.rewind(**position)
        attach(run, wanted, step="epoch")
        for row in ROWS[1:]:
            run.log(**row)
        run.finish({})

    steps = [step for _, step, _ in read_events(tmp_path / "tensorboard")]
    assert steps == ([1, 2, 3] if had or wanted else [])


def test_overwriting_takes_the_event_files_of_the_run_before_away(tmp_path):
    for overwrite in (False, True):
        with RunDirectory(tmp_path, "transfer", {}, overwrite=overwrite) as run:
            attach(run, not overwrite, step="epoch")
            run.log(**ROWS[0])
            run.finish({})

    assert not (tmp_path / "tensorboard").exists()


def test_transfer_writes_them(toy_data_dir, tmp_path, read_events):
    args = ["--dataset=toy_colours", f"--data-dir={toy_data_dir}", "--model=mlp", "--width=8"]
    args += ["--epochs=2", "--batch-size=16", "--tensorboard", f"--output-dir={tmp_path / 'run'}"]
    transfer.command([*args, "--loss", "brier", "--seeds", "0", "1"])

    rows = read_events(tmp_path / "run" / "tensorboard")
    series = ["loss=brier/seed=0", "loss=brier/seed=1"]
    assert [row[:2] for row in rows] == [(name, epoch) for name in series for epoch in (1, 2)]
    assert all({"train_loss", "test_accuracy"} <= values.keys() for *_, values in rows)


def test_a_full_disk_is_one_line_that_says_how_to_go_on(tmp_path, monkeypatch):
    from tensorboardX.event_file_writer import EventsWriter

    def write_event(self, event):
        raise OSError(28, "No space left on device")

    with RunDirectory(tmp_path / "run", "transfer", {}) as run:
        attach(run, True, step="epoch")
        run.log(**ROWS[0])
        monkeypatch.setattr(EventsWriter, "write_event", write_event)
        with pytest.raises(EdlError, match=r"tensorboard: No space left.*--resume"):
            run.log(**ROWS[1])


def test_files_that_cannot_be_closed_leave_the_run_unfinished(tmp_path, monkeypatch):
    from tensorboardX.event_file_writer import EventsWriter

    def close(self):
        self._py_recordio_writer.close()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(EventsWriter, "close", close)
    with RunDirectory(tmp_path, "transfer", {}) as run:
        attach(run, True, step="epoch")
        run.log(**ROWS[0])
        with pytest.raises(EdlError, match="No space left"):
            run.finish({})

    assert not (tmp_path / "summary.json").exists()


def test_without_the_package_one_line_says_what_to_install(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(errors, "find_spec", lambda name: None)
    with pytest.raises(SystemExit) as stop:
        cli.main(lambda: pretrain.command(["--tensorboard", f"--output-dir={tmp_path / 'run'}"]))

    assert stop.value.code == 2
    assert 'pip install "edl_jax[tensorboard]"' in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
