"""The artifact's file: bit-identical when read back, and one line of error for any other file."""

import io
import json
import os
import pickle
import zipfile

import jax.numpy as jnp
import numpy as np
import pytest

from edl_jax.errors import EdlError
from edl_jax.losses import artifact
from edl_jax.losses.learned import LearnedLoss
from edl_jax.losses.loading import load_loss
from edl_jax.losses.networks import NetworkSpec

SPEC = NetworkSpec("symmetric", 2, 3)


def make_params(seed=0, spec=SPEC):
    rng = np.random.default_rng(seed)
    layers = {"mlp/0": (6, spec.width), "mlp/1": (spec.width,) * 2, "mlp/2": (spec.width, 1)}
    params = {}
    for name, shape in layers.items():
        params[f"{name}/weights"] = rng.normal(size=shape).astype(np.float32)
        params[f"{name}/biases"] = rng.normal(size=shape[1]).astype(np.float32)
    return params


def make_content(**changes):
    network = {"name": "symmetric", "width": 2, "num_classes": 3}
    return {"network": network, "scale": 0.1, "provenance": {"seed": 7}} | changes


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "loss.npz"
    artifact.write(path, make_params(), make_content())
    return path


def refuse(path, because=""):
    """Loading gives an EdlError of one line that names the file, and says why."""
    with pytest.raises(EdlError) as caught:
        load_loss(path)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    assert because in message


def repack(path, change=lambda members: None, compression=zipfile.ZIP_STORED):
    """Rewrite the archive after ``change`` has edited the dict of its members."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def npy(array, **options):
    buffer = io.BytesIO()
    np.save(buffer, array, **options)
    return buffer.getvalue()


# --- what was written comes back ---------------------------------------------------------------


def test_a_loss_comes_back_bit_for_bit(tmp_path):
    params = {name: jnp.asarray(array) for name, array in make_params().items()}
    # A scale and a provenance that a careless detour would change.
    text = json.dumps({"config": {"seed": 3}, "note": "Größe ×"}, sort_keys=True)
    loss = LearnedLoss(params, jnp.float32(0.1), SPEC, text)
    loss.save(tmp_path / "one.npz")
    again = load_loss(tmp_path / "one.npz")

    assert again.spec == loss.spec
    assert again.provenance_json == loss.provenance_json
    assert again.scale.dtype == jnp.float32
    np.testing.assert_array_equal(again.scale, loss.scale)
    assert again.params.keys() == params.keys()
    for name, array in params.items():
        assert again.params[name].dtype == jnp.float32
        np.testing.assert_array_equal(again.params[name], array)
    logits = jnp.array([[2.0, 0.0, -3.0], [0.0, 0.1, 0.2]])
    np.testing.assert_array_equal(again(logits, jnp.array([0, 2])), loss(logits, jnp.array([0, 2])))

    again.save(tmp_path / "two.npz")
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()


def test_numpy_can_read_the_file_without_pickle(path):
    with np.load(path, allow_pickle=False) as arrays:
        np.testing.assert_array_equal(
            arrays["params/mlp/0/weights"], make_params()["mlp/0/weights"]
        )


def test_a_compressed_copy_is_read_too(path):
    repack(path, compression=zipfile.ZIP_DEFLATED)

    np.testing.assert_array_equal(
        load_loss(path).params["mlp/1/biases"], make_params()["mlp/1/biases"]
    )


def test_a_loss_that_cannot_be_written_leaves_nothing(tmp_path):
    with pytest.raises(EdlError, match="cannot write"):
        artifact.write(tmp_path / "none" / "loss.npz", make_params(), make_content())
    with pytest.raises(ValueError, match="JSON"):
        artifact.write(tmp_path / "loss.npz", make_params(), make_content(scale=float("nan")))
    assert list(tmp_path.iterdir()) == []


# --- damage ------------------------------------------------------------------------------------


def test_no_flipped_byte_gives_another_loss(path):
    """Each one is noticed, or lies where the archive keeps nothing of the loss."""
    sound, noticed = path.read_bytes(), 0
    params, spec = artifact.read(path)
    for i in range(len(sound)):
        path.write_bytes(sound[:i] + bytes([sound[i] ^ 0xFF]) + sound[i + 1 :])
        try:
            found, found_spec = artifact.read(path)
        except EdlError as error:
            noticed += 1
            assert str(path) in str(error)
            continue
        assert found_spec == spec
        assert all(np.array_equal(found[name], params[name]) for name in params | found)
    assert noticed > 0.8 * len(sound)


def test_no_truncated_file_is_read(path):
    sound = path.read_bytes()
    for size in [*range(0, len(sound), 31), len(sound) - 1]:
        path.write_bytes(sound[:size])
        refuse(path)


def test_a_flipped_bit_of_a_weight_is_noticed_by_checksum_even_if_the_archive_is_sound(path):
    def change(members):
        content = bytearray(members["params/mlp/0/biases.npy"])
        content[-1] ^= 1
        members["params/mlp/0/biases.npy"] = bytes(content)

    repack(path, change)
    refuse(path, "checksum")


# --- other files -------------------------------------------------------------------------------


def edit_spec(**changes):
    def change(members):
        members["spec.json"] = json.dumps(json.loads(members["spec.json"]) | changes).encode()

    return change


def put(name, content):
    return lambda members: members.update({name: content})


@pytest.mark.parametrize(
    ("change", "because"),
    [
        (edit_spec(format="other"), "another format"),
        (edit_spec(format_version=2), "format version 2"),
        (edit_spec(format_version=None), "format version None"),
        (put("spec.json", b"[1, 2]"), "another format"),
        (put("spec.json", b"{not json"), "not a learned loss, or damaged"),
        (put("spec.json", b"[" * 200_000), ""),
        (put("spec.json", b"\xff\xfe"), ""),
        (put("spec.json", b" " * (2 * 2**20)), "spec.json is too large"),
        (lambda members: members.pop("spec.json"), "no spec.json"),
        (put("code.py", b"print()"), "unexpected entry 'code.py'"),
        (put("params/extra.npy", npy(np.zeros(2, np.float32))), "checksum"),
        (lambda members: members.pop("params/mlp/0/weights.npy"), "checksum"),
        (put("params/mlp/0/biases.npy", b"not an npy"), ""),
        (put("params/mlp/0/biases.npy", npy(np.zeros(2))), "float32"),
        (put("params/mlp/0/biases.npy", npy(np.zeros(2, ">f4"))), "float32"),
        (put("params/mlp/0/biases.npy", npy(np.zeros(2, np.float32))[:-1]), "float32"),
    ],
)
def test_an_archive_with_anything_else_in_it_is_refused(path, change, because):
    repack(path, change)
    refuse(path, because)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_an_archive_with_a_name_twice_is_refused(path):
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("spec.json", archive.read("spec.json"))
    refuse(path, "twice")


class Payload:
    """What a malicious pickle would run."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (os.mkdir, (str(self.path),))


@pytest.mark.parametrize("kind", ["npz of objects", "member", "bare pickle"])
def test_nothing_is_ever_unpickled(path, tmp_path, kind):
    trap = tmp_path / "executed"
    objects = np.array([Payload(trap)], object)
    if kind == "npz of objects":
        np.savez(path, weights=objects)
    elif kind == "member":
        repack(path, put("params/mlp/0/biases.npy", npy(objects, allow_pickle=True)))
    else:
        path.write_bytes(pickle.dumps(Payload(trap)))

    refuse(path)
    assert not trap.exists()


@pytest.mark.parametrize("member", ["params/mlp/0/biases.npy", "spec.json"])
def test_a_zip_bomb_is_refused_by_its_size(path, member):
    zeros = bytes(artifact.MAX_FILE_BYTES + 1)
    repack(path, put(member, zeros), zipfile.ZIP_DEFLATED)

    assert path.stat().st_size < 2**20
    refuse(path, "unpacks to more")


def test_a_zip_bomb_that_hides_its_size_is_refused(path):
    """The directory says 8 bytes, the compressed stream holds a megabyte."""
    repack(path, put("params/mlp/0/biases.npy", bytes(2**20)), zipfile.ZIP_DEFLATED)
    content = path.read_bytes()
    honest = (2**20).to_bytes(4, "little")
    assert content.count(honest) >= 2
    path.write_bytes(content.replace(honest, (8).to_bytes(4, "little")))
    refuse(path)


def test_an_array_that_claims_to_be_huge_is_refused_unallocated(path):
    header = npy(np.zeros((10, 10), np.float32)).replace(b"(10, 10)", b"(9999999999, 9999999999)")
    repack(path, put("params/mlp/0/biases.npy", header))
    refuse(path)


def test_a_file_that_is_too_large_is_not_opened(path):
    with open(path, "wb") as file:
        file.truncate(artifact.MAX_FILE_BYTES + 1)  # sparse
    refuse(path, "more than a learned loss can have")


# --- sound archives that hold no sound loss ----------------------------------------------------

WIDER = make_params(spec=NetworkSpec("symmetric", 3, 3))


def with_value(value):
    params = make_params()
    params["mlp/1/weights"][1, 0] = value
    return params


def without(name):
    return {k: v for k, v in make_params().items() if k != name}


def network(**changes):
    return make_content(network=make_content()["network"] | changes)


@pytest.mark.parametrize(
    ("params", "content", "because"),
    [
        (WIDER, make_content(), "arrays are not those"),
        (without("mlp/2/biases"), make_content(), "arrays are not those"),
        (make_params() | {"more": np.zeros(1)}, make_content(), "arrays are not those"),
        ({}, make_content(), "arrays are not those"),
        (with_value(np.nan), make_content(), "not finite"),
        (with_value(-np.inf), make_content(), "not finite"),
        (make_params(), make_content(scale=0.0), "scale is not positive"),
        (make_params(), make_content(scale=-1.0), "scale is not positive"),
        (make_params(), make_content(scale="1"), "scale is not positive"),
        # Finite as a double, but 0 or infinite as the float32 that multiplies the loss.
        (make_params(), make_content(scale=1e-300), "scale"),
        (make_params(), make_content(scale=1e300), "scale"),
        (make_params(), network(name="mlp"), "expected one of symmetric"),
        (make_params(), network(name=["symmetric"]), "expected one of symmetric"),
        (make_params(), network(width=0), "width 0"),
        (make_params(), network(width=10**9), "width 1000000000"),
        (make_params(), network(width=2.0), "width 2.0"),
        (make_params(), network(width=True), "width True"),
        (make_params(), network(num_classes=1), "num_classes 1"),
        (make_params(), network(name="concat", width=4096, num_classes=10**6), "arrays"),
        (make_params(), make_content(network=None), "lacks or garbles"),
        (make_params(), {"network": make_content()["network"]}, "lacks or garbles 'scale'"),
        (make_params(), {"scale": 1.0, "provenance": {}}, "lacks or garbles 'network'"),
    ],
)
def test_a_loss_that_could_not_work_is_refused(path, params, content, because):
    artifact.write(path, params, content)
    refuse(path, because)


# --- no file at all ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["missing.npz", "x" * 300])
def test_a_missing_path_is_refused_with_what_would_do(tmp_path, name):
    refuse(tmp_path / name, "")
    with pytest.raises(EdlError):
        artifact.read(tmp_path / name)


def test_a_directory_is_refused_unless_it_holds_a_run(path, tmp_path):
    assert load_loss(tmp_path).spec == SPEC
    empty = tmp_path / "run"
    empty.mkdir()
    refuse(empty, "holds no loss.npz")
    with pytest.raises(EdlError, match="not a file"):
        artifact.read(empty)
    (empty / "loss.npz").mkdir()
    refuse(empty, "not a file")


@pytest.mark.parametrize("content", [b"", b"PK", b"\x89PNG\r\n", b"text\n" * 100])
def test_a_file_of_another_kind_is_refused(path, content):
    path.write_bytes(content)
    refuse(path, "not a learned loss")
