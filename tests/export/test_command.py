"""The command: files named after the loss, and one line for what cannot be exported."""

from pathlib import Path

import pytest

from edl_jax import cli, errors
from edl_jax.export import __main__ as export
from tests.export.examples import learned


@pytest.mark.parametrize("form", ["stablehlo", "torch", "onnx"])
def test_the_command_names_its_files_after_the_loss(tmp_path, monkeypatch, capsys, form):
    if form == "onnx":
        pytest.importorskip("onnx")
    monkeypatch.chdir(tmp_path)
    Path("2nd-run").mkdir()
    learned("concat").save("2nd-run/loss.npz")
    export.command(["2nd-run", "--format", form])

    suffixes = {"stablehlo": {".stablehlo"}, "torch": {".py", ".npz"}, "onnx": {".onnx"}}[form]
    written = {path.name for path in tmp_path.iterdir() if path.is_file()}
    assert written == {f"_2nd_run{suffix}" for suffix in suffixes}
    assert all(name in capsys.readouterr().out for name in [f"_2nd_run{min(suffixes)}"])
    if form == "torch":
        assert Path("_2nd_run.npz").read_bytes() == Path("2nd-run/loss.npz").read_bytes()


def test_the_file_of_a_loss_with_constants_has_a_plain_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    export.command(["gce:q=0.3"])

    assert [path.name for path in tmp_path.iterdir()] == ["gce_q_0_3.stablehlo"]


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["gce", "--format", "torch"], "loss gce: expected a learned loss with --format torch"),
        (["gce", "--format", "onnx"], "loss gce: expected a learned loss with --format onnx"),
        (["nonsense"], "loss nonsense: expected one of edl-base"),
        (["edl-base", "--format", "torch", "--num-classes", "3"], "--num-classes 3: expected"),
        (["edl-base", "--format", "torch", "--soft-labels"], "--soft-labels True: expected"),
        (["edl-base", "--format", "torch", "--output", "my-loss.py"], "--output my-loss.py: exp"),
        (["edl-base", "--num-classes", "1"], "--num-classes 1: expected a whole number from 2"),
        (["edl-base", "--output", "here"], "--output here: expected a file that does not exist"),
        (["edl-base", "--format", "torch", "--output", "w.py"], "--output w.npz: expected"),
        (["w", "--format", "torch"], "w.npz: expected a file that does not exist yet, or --over"),
        (["concat.npz", "--format", "torch"], "error: concat.npz: expected another file than the"),
        (
            ["concat.npz", "--format", "torch", "--output", "concat.py", "--overwrite"],
            "--output concat.npz: expected another file than the loss itself",
        ),
        ([], "LOSS"),
        (["edl-base", "--output", "no/x"], "cannot write no/x"),
        (["edl-base", "--format", "torch", "--output", "no/x.py"], "cannot write no/x.npz"),
        (["concat.npz", "--num-classes", "7"], "--num-classes 7: expected 10, which this concat"),
    ],
)
def test_what_cannot_be_exported_is_one_line_and_nothing_is_written(
    tmp_path, monkeypatch, capsys, args, said
):
    monkeypatch.chdir(tmp_path)
    for name in ("here", "w.npz"):
        Path(name).write_text("mine")
    learned("concat").save("concat.npz")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(SystemExit) as stop:
        cli.main(lambda: export.command(args))

    assert stop.value.code == 2
    message = capsys.readouterr().err
    assert said in message
    assert message.count("\n") == 1
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_second_export_replaces_the_first_if_it_is_told_to(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("edl_base.py").write_text("old")
    Path("edl_base.npz").write_text("old")
    export.command(["edl-base", "--format", "torch", "--overwrite"])

    assert capsys.readouterr().out == "Written: edl_base.npz, edl_base.py\n"
    assert "old" not in {path.read_text(errors="ignore") for path in tmp_path.iterdir()}


def test_without_the_onnx_package_one_line_says_what_to_install(monkeypatch, capsys):
    monkeypatch.setattr(errors, "find_spec", lambda name: None)
    with pytest.raises(SystemExit) as stop:
        cli.main(lambda: export.command(["edl-base", "--format", "onnx"]))

    assert stop.value.code == 2
    assert 'pip install "edl_jax[onnx]"' in capsys.readouterr().err
