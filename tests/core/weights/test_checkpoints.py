"""Checkpoints: every published form is read, every tensor accounted for, files written whole."""

import errno
import gc
import pathlib
import resource
import subprocess

import pytest
import torch
from torch import nn

from core.notices import Notice
from core.weights import checkpoints
from core.weights.checkpoints import load_state_dict, load_strictly, save_weights
from core.weights.weight_files import WEIGHT_SUFFIXES
from tests.weights import assert_same_tensors, save

WEIGHTS = {"a.weight": torch.arange(6.0).view(2, 3), "b.bias": torch.tensor([7.0])}


# Forms of files


@pytest.mark.parametrize("suffix", WEIGHT_SUFFIXES)
def test_every_suffix(tmp_path, suffix):
    assert_same_tensors(load_state_dict(save(tmp_path / f"w{suffix}", WEIGHTS)), WEIGHTS)
    assert_same_tensors(load_state_dict(str(tmp_path / f"w{suffix}"), location="cpu"), WEIGHTS)


@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("zipped", [True, False])
def test_nested_state_dicts_of_new_and_old_files(tmp_path, depth, zipped):
    content = WEIGHTS
    for _ in range(depth):
        content = {"state_dict": content, "epoch": 3}
    torch.save(content, tmp_path / "w.ckpt", _use_new_zipfile_serialization=zipped)
    assert_same_tensors(load_state_dict(tmp_path / "w.ckpt"), WEIGHTS)


@pytest.mark.parametrize("wrapper", ["model", "model_state_dict"])
def test_state_dicts_of_other_trainers(tmp_path, wrapper):
    content = {wrapper: WEIGHTS, "optimizer": {"state": {}}, "step": torch.tensor(3)}
    assert_same_tensors(load_state_dict(save(tmp_path / "w.pt", content)), WEIGHTS)
    lightning = {"state_dict": WEIGHTS, wrapper: {"a.weight": torch.zeros(1)}}
    assert_same_tensors(load_state_dict(save(tmp_path / "l.ckpt", lightning)), WEIGHTS)


def test_the_most_tensors_are_the_weights(tmp_path):
    """A trainer may keep a counter, or a short part, under the name of the whole."""
    counter = {"epoch": torch.tensor(3)}
    for content in (
        WEIGHTS | {"model": counter},
        {"state_dict": counter, "model": WEIGHTS},
        {"model": counter | {"state_dict": WEIGHTS}},
    ):
        assert_same_tensors(load_state_dict(save(tmp_path / "w.pt", content)), WEIGHTS)


def test_options_under_the_name_of_weights_are_passed_over(tmp_path):
    options = {"name": "unet"}
    for content in (WEIGHTS | {"model": options}, {"state_dict": options, "model": WEIGHTS}):
        assert_same_tensors(load_state_dict(save(tmp_path / "w.pt", content)), WEIGHTS)


def test_places_of_weights_that_nothing_tells_apart_are_named(tmp_path):
    path = save(tmp_path / "w.pt", {"generator": WEIGHTS, "critic": WEIGHTS, "epoch": 3})
    with pytest.raises(ValueError, match="no checkpoint.*lie under 'generator', 'critic': save"):
        load_state_dict(path)


def test_file_that_holds_itself_does_not_hang(tmp_path):
    content = {"a": torch.ones(1)}
    content["state_dict"] = content
    assert_same_tensors(load_state_dict(save(tmp_path / "w.ckpt", content)), {"a": torch.ones(1)})


@pytest.mark.parametrize("suffix", [".safetensors", ".ckpt"])
@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8, torch.float8_e4m3fn, torch.float8_e5m2])
def test_quantised_weights_are_refused(tmp_path, suffix, dtype):
    """Their scale is another tensor, or stands nowhere in the file."""
    path = tmp_path / f"base{suffix}"
    weight, counter = torch.ones(2, 2), torch.arange(3)
    save_weights({"norm.weight": weight.half(), "places": counter}, path)
    assert len(load_state_dict(path)) == 2
    save_weights({"norm.weight": weight, "conv.weight": weight.to(dtype)}, path)
    kind = str(dtype).removeprefix("torch.")
    with pytest.raises(ValueError, match=f"{path}: is quantised .* as conv.weight is {kind}. Take"):
        load_state_dict(path)


@pytest.mark.parametrize(
    ("kind", "weight"),
    {
        "int64": torch.ones(2, dtype=torch.int64),
        "bool": torch.ones(2, dtype=torch.bool),
        "complex64": torch.ones(2, dtype=torch.complex64),
        "sparse_coo": torch.ones(2).to_sparse(),
        "meta": torch.ones(2, device="meta"),
    }.items(),
)
def test_tensors_that_no_network_computes_with_are_refused(tmp_path, kind, weight):
    """They would be rounded, or end in an error of torch that names no file."""
    path = save(tmp_path / "base.ckpt", {"conv.bias": weight})
    with pytest.raises(ValueError, match=f"{path}: .* as conv.bias is {kind}. Take"):
        load_state_dict(path)


@pytest.mark.parametrize("suffix", [".safetensors", ".ckpt"])
def test_zeros_that_a_broken_download_left_are_told(tmp_path, suffix, recwarn):
    path, rows = tmp_path / f"w{suffix}", checkpoints.GAP // 32
    half = torch.cat([torch.zeros(rows, 32), torch.ones(rows, 32)])
    whole = {"zero.weight": torch.zeros(2 * rows, 32), "full.weight": torch.ones(2 * rows, 32)}
    whole |= {"attn_mask": half, "token_embedding.weight": half.clone()}  # may be so
    save_weights(whole, path)
    load_state_dict(path)
    assert not recwarn
    for part in (slice(rows), slice(rows, None)):
        whole["full.weight"] = torch.ones(2 * rows, 32)
        whole["full.weight"][part] = 0
        save_weights(whole, path)
        with pytest.warns(Notice, match=f"{path}: one end of full.weight is zero"):
            load_state_dict(path)


def test_weights_are_mapped_and_the_file_never_changes(tmp_path):
    path = save(tmp_path / "w.ckpt", WEIGHTS)
    before = path.read_bytes()
    loaded = load_state_dict(path)
    assert str(path) in pathlib.Path("/proc/self/maps").read_text()
    for value in loaded.values():
        value.zero_()  # as a training does
    assert path.read_bytes() == before


# Files that are no checkpoint


def test_paths_that_are_no_file(tmp_path):
    for path in (tmp_path / "none.ckpt", tmp_path / "none.safetensors"):
        with pytest.raises(FileNotFoundError, match="no such checkpoint"):
            load_state_dict(path)
    with pytest.raises(ValueError, match=f"{tmp_path}: is a folder, expected a file of weights"):
        load_state_dict(tmp_path)


@pytest.mark.parametrize(
    "content", [{}, {"epoch": 3}, [torch.ones(1)], torch.ones(1), {"state_dict": {"a": 1}}]
)
def test_files_without_named_tensors(tmp_path, content):
    with pytest.raises(ValueError, match="holds no tensors by name"):
        load_state_dict(save(tmp_path / "w.pt", content))


# Strict loading


@pytest.fixture
def pair_of_layers():
    """Function that builds two layers: `0.weight` (2, 3), `0.bias` (2,), `1.weight` (1, 2)."""
    return lambda: nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1, bias=False))


@pytest.fixture
def tensors():
    return {"0.weight": torch.ones(2, 3), "0.bias": torch.ones(2), "1.weight": torch.ones(1, 2)}


def test_tensors_become_the_parameters_themselves(pair_of_layers, tensors):
    """Type and memory included, also in a model that has no memory yet."""
    tensors["0.bias"] = tensors["0.bias"].half()
    with torch.device("meta"):
        model = pair_of_layers().requires_grad_(False)
    names = set(tensors)
    load_strictly(model, tensors, "w.ckpt")
    assert set(tensors) == names
    for name, parameter in model.named_parameters():
        assert parameter.data_ptr() == tensors[name].data_ptr(), name
        assert parameter.dtype == tensors[name].dtype and not parameter.requires_grad


def test_every_name_is_accounted_for(pair_of_layers, tensors):
    del tensors["1.weight"]
    tensors["head.bias"] = torch.ones(1)
    expected = (
        r"w.ckpt: does not fit Sequential; 1 tensors missing \['1.weight'\], "
        r"1 left over \['head.bias'\]"
    )
    with pytest.raises(RuntimeError, match=expected):
        load_strictly(pair_of_layers(), tensors, "w.ckpt")
    with pytest.raises(RuntimeError, match="1 tensors missing"):
        load_strictly(pair_of_layers(), tensors, "w.ckpt", may_be_left_over=("head.",))
    with pytest.raises(RuntimeError, match="1 left over"):
        load_strictly(pair_of_layers(), tensors, "w.ckpt", may_be_missing=("1.",))


def test_what_may_be_missing_keeps_its_value(pair_of_layers, tensors):
    del tensors["1.weight"]
    tensors["head.bias"] = torch.ones(1)
    model = pair_of_layers()
    before = model[1].weight.clone()
    load_strictly(model, tensors, "w.ckpt", ("1.",), ("head.",))
    assert torch.equal(model[1].weight, before) and model[0].weight.eq(1).all()


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_weights_that_are_not_finite_are_refused(pair_of_layers, tensors, bad, dtype):
    tensors["1.weight"] = torch.tensor([[1, bad]], dtype=dtype)
    with pytest.raises(ValueError, match=r"w.ckpt: 1.weight holds values that are NaN"):
        load_strictly(pair_of_layers(), tensors, "w.ckpt")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_large_weights_are_finite_though_their_sum_is_not(pair_of_layers, tensors, dtype):
    tensors["0.weight"] = torch.full((2, 3), torch.finfo(dtype).max, dtype=dtype)
    model = pair_of_layers()
    load_strictly(model, tensors, "w.ckpt")
    assert model[0].weight.isfinite().all()


def test_infinity_of_both_signs_does_not_cancel():
    with pytest.raises(ValueError, match="w.ckpt: b holds"):
        checkpoints.check_finite(
            {"a": torch.arange(3), "b": torch.tensor([-torch.inf, torch.inf])}, "w.ckpt"
        )


def test_counters_of_batch_norms_count_too():
    """torch takes tensors without versions for old ones, and says nothing of these counters."""
    tensors = dict(nn.BatchNorm1d(3).state_dict())
    del tensors["num_batches_tracked"]
    with pytest.raises(RuntimeError, match="1 tensors missing .*num_batches_tracked"):
        load_strictly(nn.BatchNorm1d(3), tensors, "w.ckpt")


def test_another_shape_is_named_and_nothing_is_loaded(pair_of_layers, tensors):
    tensors["0.weight"] = torch.ones(2, 4)
    model = pair_of_layers()
    before = model[0].bias.clone()
    expected = r"1 tensors of another shape, such as 0.weight \(2, 4\) instead of \(2, 3\)"
    with pytest.raises(RuntimeError, match=expected):
        load_strictly(model, tensors, "w.ckpt")
    assert torch.equal(model[0].bias, before)


# Writing


@pytest.mark.parametrize("suffix", WEIGHT_SUFFIXES)
def test_what_is_saved_is_loaded(tmp_path, suffix):
    path = tmp_path / f"w{suffix}"
    save_weights({**WEIGHTS, "strided": torch.arange(12.0).view(3, 4).T}, path)
    assert_same_tensors(
        load_state_dict(path), {**WEIGHTS, "strided": torch.arange(12.0).view(3, 4).T}
    )
    assert list(tmp_path.iterdir()) == [path]
    (tmp_path / "new").touch()
    assert path.stat().st_mode == (tmp_path / "new").stat().st_mode  # others may read it too
    if suffix != ".safetensors":
        assert set(torch.load(path, weights_only=True)) == {"state_dict"}


def test_other_suffixes_are_refused(tmp_path):
    with pytest.raises(
        ValueError, match="w.bin: expected a name that ends in .ckpt, .pth, .pt, .safetensors"
    ):
        save_weights(WEIGHTS, tmp_path / "w.bin")
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["w.ckpt", "w.safetensors"])
@pytest.mark.parametrize("existing", [True, False])
@pytest.mark.parametrize(
    "failure",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        RuntimeError("writer failed"),
        KeyboardInterrupt(),
    ],
)
def test_a_failure_half_way_leaves_no_file(tmp_path, monkeypatch, name, existing, failure):
    path = tmp_path / name
    if existing:
        save(path, WEIGHTS)
    before = path.read_bytes() if existing else None

    def fail(content, file, *args, **_):
        pathlib.Path(file).write_bytes(b"half a file")
        raise failure

    monkeypatch.setattr(checkpoints, "save_file", fail)
    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(KeyboardInterrupt if isinstance(failure, KeyboardInterrupt) else OSError):
        save_weights({"a": torch.zeros(9)}, path)
    assert list(tmp_path.iterdir()) == ([path] if existing else [])
    assert not existing or path.read_bytes() == before


@pytest.mark.parametrize("name", ["w.ckpt", "w.safetensors"])
def test_file_size_limit_of_the_system(tmp_path, name):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(OSError):
            save_weights({"a": torch.zeros(100_000)}, tmp_path / name)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not any(tmp_path.iterdir())


@pytest.fixture
def full_disk(tmp_path):
    """A file system of 64 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    try:
        mounted = (
            subprocess.run(
                ["mount", "-t", "tmpfs", "-o", "size=64k", "none", folder], capture_output=True
            ).returncode
            == 0
        )
    except FileNotFoundError:
        mounted = False
    if not mounted:
        pytest.skip("may not mount a file system here")
    yield folder
    gc.collect()  # torch's writer, which its error refers to, holds the file open
    subprocess.run(["umount", folder], check=True)


@pytest.mark.parametrize("name", ["w.ckpt", "w.safetensors"])
def test_full_disk(full_disk, name):
    with pytest.raises(OSError, match=r"w\.|No space left"):
        save_weights({"a": torch.zeros(100_000)}, full_disk / name)
    assert not any(full_disk.iterdir())
