"""Files of torch: no code of theirs runs, damage is named, trainers' objects are skipped."""

import argparse
import builtins
import collections
import importlib
import io
import os
import pathlib
import pickle
import subprocess
import sys
import tarfile
import types
import zipfile

import numpy as np
import pytest
import torch

from core.weights import torch_files
from core.weights.checkpoints import load_state_dict
from core.weights.torch_files import load_pickle
from core.weights.weight_files import WEIGHT_SUFFIXES
from tests.weights import assert_same_tensors, save

WEIGHTS = {"a.weight": torch.arange(6.0).view(2, 3), "b.bias": torch.tensor([7.0])}


# Trainers' objects


@pytest.fixture
def trainer_module(monkeypatch):
    """Function that puts a class or function into a trainer's module, as pickle will name it.

    The trainer may be installed or long gone.
    """

    def place(thing, module_name):
        parts = module_name.split(".")
        for parent in (".".join(parts[:i]) for i in range(1, len(parts))):
            if parent not in sys.modules:
                monkeypatch.setitem(sys.modules, parent, types.ModuleType(parent))
        module = types.ModuleType(module_name)
        thing.__module__, thing.__qualname__ = module_name, thing.__name__
        setattr(module, thing.__name__, thing)
        monkeypatch.setitem(sys.modules, module_name, module)

    return place


def test_trainer_objects_beside_the_weights(tmp_path, trainer_module, monkeypatch):
    class ModelCheckpoint:
        def __init__(self, **state):
            self.__dict__ = state

    class AttributeDict(dict):
        pass

    class ContainerMetadata:
        pass

    def scalar(dtype, raw):
        raise AssertionError("numpy was called")

    class OldScalar:
        def __reduce__(self):
            return scalar, (np.dtype("float64"), b"\0" * 8)

    trainer_module(ModelCheckpoint, "pytorch_lightning.callbacks.model_checkpoint")
    trainer_module(AttributeDict, "pytorch_lightning.utilities.parsing")
    trainer_module(ContainerMetadata, "omegaconf.base")
    trainer_module(scalar, "numpy.core.multiarray")
    metadata = ContainerMetadata()
    metadata.object_type, metadata.resolver_cache = (
        dict,
        collections.defaultdict(dict, {"a": {"b": 1}}),
    )
    content = {
        "state_dict": collections.OrderedDict(WEIGHTS),
        "callbacks": {
            ModelCheckpoint: {"best_model_score": np.float64(0.3)},
            ModelCheckpoint(best=1): 2,
            "plain": OldScalar(),
        },
        "hyper_parameters": AttributeDict(lr=1e-5, betas=(0.9, 0.999), config=metadata),
        "optimizer_states": [{"state": {}, "param_groups": [np.arange(3)]}],
        "args": argparse.Namespace(
            path=pathlib.PosixPath("/x"), flags={1, 2}, values=collections.defaultdict(list)
        ),
        "global_step": 17,
    }
    path = save(tmp_path / "w.ckpt", content)
    monkeypatch.undo()  # the stand-ins must do without the modules
    assert_same_tensors(load_state_dict(path), WEIGHTS)
    whole = load_pickle(path, "cpu")
    assert whole["global_step"] == 17 and whole["hyper_parameters"]["betas"] == (0.9, 0.999)
    assert isinstance(whole["args"], torch_files.StandIn) and isinstance(
        whole["hyper_parameters"]["config"], torch_files.StandIn
    )


def test_stand_ins_last_for_one_file_only(tmp_path, trainer_module):
    class ModelCheckpoint:
        pass

    trainer_module(ModelCheckpoint, "pytorch_lightning.callbacks.model_checkpoint")
    path = save(tmp_path / "w.ckpt", {"state_dict": WEIGHTS, "callback": ModelCheckpoint()})
    load_state_dict(path)
    with pytest.raises(pickle.UnpicklingError):
        torch.load(path, weights_only=True)


# Files that bring code


class Payload:
    """Pickles as a call of `function`."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


def payloads(marker):
    """Calls that would each make the file `marker`."""
    statement = f"open({str(marker)!r}, 'w')"
    return {
        "posix.system": Payload(os.system, f"touch {marker}"),
        "builtins.eval": Payload(builtins.eval, statement),
        "builtins.exec": Payload(builtins.exec, statement),
        "subprocess.Popen": Payload(subprocess.Popen, ["touch", str(marker)]),
        "builtins.getattr": Payload(
            pathlib.Path.touch, marker
        ),  # pickled as getattr(Path, "touch")
        "importlib": Payload(importlib.import_module, "this"),  # prints a poem
        "pickle.loads": Payload(pickle.loads, pickle.dumps(Payload(os.system, f"touch {marker}"))),
    }


PAYLOADS = list(payloads(pathlib.Path()))


def write_zip(path, content):
    torch.save(content, path)


def write_old(path, content):
    torch.save(content, path, _use_new_zipfile_serialization=False)


def write_pickle(path, content):
    path.write_bytes(pickle.dumps(content, protocol=2))


def write_new_pickle(path, content):
    path.write_bytes(pickle.dumps(content))


def write_zip_after_pickle(path, content):
    """Starts as a pickle, ends as an archive: readers disagree on what it is."""
    with io.BytesIO() as archive:
        torch.save({"state_dict": WEIGHTS}, archive)
        path.write_bytes(pickle.dumps(content, protocol=2) + archive.getvalue())


@pytest.mark.parametrize("suffix", [".ckpt", ".safetensors"])
@pytest.mark.parametrize(
    "write", [write_zip, write_old, write_pickle, write_new_pickle, write_zip_after_pickle]
)
@pytest.mark.parametrize("name", PAYLOADS)
def test_nothing_of_a_malicious_file_runs(tmp_path, name, write, suffix):
    marker, path = tmp_path / "executed", tmp_path / f"evil{suffix}"
    payload = payloads(marker)[name]
    for content in (
        payload,
        {"state_dict": {**WEIGHTS, "c": payload}},
        {"state_dict": WEIGHTS, "hyper_parameters": [payload]},
    ):
        write(path, content)
        with pytest.raises(ValueError) as caught:
            load_state_dict(path)
        message = str(caught.value)
        assert message.startswith(f"{path}: ") and "\n" not in message
        if suffix == ".ckpt" and write in (write_zip, write_old, write_pickle):
            assert "refused, loading it would run code of the file's choice" in message
        assert "weights_only=False" not in message
    assert not marker.exists() and "this" not in sys.modules


def test_the_payloads_work(tmp_path):
    """Or the test above could not fail."""
    for name in set(PAYLOADS) - {"importlib"}:
        marker = tmp_path / name
        result = pickle.loads(pickle.dumps(payloads(marker)[name]))
        if isinstance(result, subprocess.Popen):
            result.wait()
        assert marker.exists(), name


def test_functions_of_trainer_packages_are_never_called(tmp_path, trainer_module):
    """Their names pass, for the sake of honest files; what stands in for them does nothing."""
    marker = tmp_path / "executed.npy"

    def run(path):
        pathlib.Path(path).touch()

    trainer_module(run, "pytorch_lightning.utilities.shell")
    content = {
        "state_dict": WEIGHTS,
        "callbacks": [Payload(run, str(marker)), Payload(np.save, str(marker), [1])],
    }
    assert_same_tensors(load_state_dict(save(tmp_path / "w.ckpt", content)), WEIGHTS)
    assert not marker.exists()
    pickle.loads(pickle.dumps(content["callbacks"][0]))
    assert marker.exists()  # the call would have worked


# Files that are no checkpoint


@pytest.mark.parametrize("suffix", WEIGHT_SUFFIXES)
@pytest.mark.parametrize("share", [0.0, 0.001, 0.1, 0.5, 0.9, 0.999])
def test_truncated_files(tmp_path, suffix, share):
    path = save(tmp_path / f"w{suffix}", {f"layer.{i}": torch.ones(50, 50) for i in range(4)})
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(ValueError, match=rf"w{suffix}: cannot be read as .* copy it again"):
        load_state_dict(path)


@pytest.mark.parametrize("name", ["w.ckpt", "w.pth", "w.SAFETENSORS", "w"])
def test_safetensors_are_told_by_their_content(tmp_path, name):
    save(tmp_path / "w.safetensors", WEIGHTS).rename(tmp_path / name)
    assert_same_tensors(load_state_dict(tmp_path / name), WEIGHTS)


def test_a_torch_file_named_as_safetensors_is_called_one(tmp_path):
    save(tmp_path / "t.ckpt", WEIGHTS).rename(tmp_path / "t.safetensors")
    with pytest.raises(ValueError, match="t.safetensors: is a file of torch. Rename it"):
        load_state_dict(tmp_path / "t.safetensors")


TEXTS = {  # content, and what is said of it
    "empty": ("", "it is empty"),
    "word": ("hello", ""),
    "web page": ("\n<html>404</html>\n", "it is a web page"),
    "other page": ("<!DOCTYPE html>\n<html>", "it is a web page"),
    "git-lfs": ("version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS"),
    "index": ('{"metadata": {}, "weight_map": {}}', "it is JSON"),
    "gguf": ("GGUF\3\0\0\0", "it is quantised, in GGUF"),
    "zeros": ("\0" * 999, ""),
    "not ASCII": ("µ" * 50, ""),
}


@pytest.mark.parametrize("suffix", WEIGHT_SUFFIXES)
@pytest.mark.parametrize(("text", "kind"), TEXTS.values(), ids=TEXTS)
def test_text_files(tmp_path, suffix, text, kind):
    path = tmp_path / f"w{suffix}"
    path.write_text(text)
    expected = rf"w{suffix}: cannot be read as a checkpoint \(.*{kind}"
    with pytest.raises(ValueError, match=expected) as caught:
        load_state_dict(path)
    assert "\n" not in str(caught.value)


def test_no_line_advises_to_run_code(tmp_path):
    """As torch does where it is given tar archives of its first years."""
    with tarfile.open(tmp_path / "old.pt", "w") as archive:
        archive.add(__file__, "tensors")
    with pytest.raises(ValueError, match="old.pt: cannot be read") as caught:
        load_state_dict(tmp_path / "old.pt")
    assert "weights_only` set to" not in str(caught.value)


@pytest.mark.parametrize("zipped", [True, False])
def test_flipped_bytes_give_a_named_error_or_nothing_at_all(tmp_path, zipped):
    torch.save(
        {"state_dict": WEIGHTS}, tmp_path / "whole.ckpt", _use_new_zipfile_serialization=zipped
    )
    whole, path = (tmp_path / "whole.ckpt").read_bytes(), tmp_path / "w.ckpt"
    rng, errors = np.random.default_rng(0), 0
    for _ in range(150):
        data = bytearray(whole)
        data[rng.integers(min(len(data), 900))] = rng.integers(256)
        path.write_bytes(data)
        try:
            load_state_dict(path)
        except ValueError as error:
            assert str(error).startswith(f"{path}: ") and "\n" not in str(error)
            errors += 1
    assert errors > 30


REGIONS = {  # of a file with 100 float32 each: records of the archive, and what stands around them
    "pickle": "w/data.pkl",
    "first tensor": "w/data/0",
    "second tensor": "w/data/1",
    "byte order": "w/byteorder",
    "version": "w/version",
}


@pytest.mark.parametrize("place", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("record", REGIONS.values(), ids=REGIONS)
def test_one_flipped_bit_in_a_record_is_named(tmp_path, record, place):
    path = save(tmp_path / "w.ckpt", {"state_dict": {k: torch.rand(100) for k in "ab"}})
    with zipfile.ZipFile(path) as archive:
        content = archive.read(record)
    data = bytearray(path.read_bytes())
    assert data.count(content) == 1
    data[data.index(content) + round(place * (len(content) - 1))] ^= 1
    path.write_bytes(data)
    expected = f"w.ckpt: cannot be read as a checkpoint .damaged: {record} .* copy it again"
    with pytest.raises(ValueError, match=expected):
        load_state_dict(path)


def test_no_flipped_byte_anywhere_changes_a_weight(tmp_path):
    """Names, sizes and places of records included; what fills the gaps between them is free."""
    torch.save({"state_dict": WEIGHTS}, tmp_path / "whole.ckpt")
    whole, refused = (tmp_path / "whole.ckpt").read_bytes(), 0
    for place in range(0, len(whole), 3):
        data = bytearray(whole)
        data[place] ^= 0xFF
        path = tmp_path / f"{place}.ckpt"
        path.write_bytes(data)
        try:
            assert_same_tensors(load_state_dict(path), WEIGHTS)
        except ValueError as error:
            assert str(error).startswith(f"{path}: ") and "\n" not in str(error)
            refused += 1
    assert refused > 200  # the others lie in padding, whose size depends on torch


def test_a_file_is_checked_once_until_it_changes(tmp_path, monkeypatch):
    checked, whole = [], zipfile.ZipFile.testzip
    monkeypatch.setattr(
        zipfile.ZipFile, "testzip", lambda self: checked.append(self.filename) or whole(self)
    )
    path = save(tmp_path / "w.ckpt", WEIGHTS)
    for _ in range(3):
        load_state_dict(path)
    assert checked == [str(path.resolve())]
    os.utime(path, (1, 1))
    load_state_dict(path)
    assert len(checked) == 2


def test_files_without_checksums_are_read(tmp_path):
    torch.serialization.set_crc32_options(False)
    try:
        path = save(tmp_path / "w.ckpt", WEIGHTS)
    finally:
        torch.serialization.set_crc32_options(True)
    assert_same_tensors(load_state_dict(path), WEIGHTS)


def test_compressed_archives_are_refused_unread(tmp_path):
    """They are no files of torch, and 10 kB could stand for 10 GB."""
    path = tmp_path / "bomb.ckpt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb/data.pkl", bytes(10**8))
    with pytest.raises(ValueError, match="bomb.ckpt: .*its records are larger than the file"):
        load_state_dict(path)


def test_other_archives(tmp_path):
    with zipfile.ZipFile(tmp_path / "zip.ckpt", "w") as archive:
        archive.writestr("notes.txt", "hello")
    torch.jit.script(torch.nn.ReLU()).save(tmp_path / "script.pt")
    for name in ("zip.ckpt", "script.pt"):
        with pytest.raises(ValueError, match=f"{name}: cannot be read as a checkpoint"):
            load_state_dict(tmp_path / name)


@pytest.mark.filterwarnings("error")
def test_pickles_of_other_programs_are_refused_without_a_warning(tmp_path):
    path = tmp_path / "other.ckpt"
    path.write_bytes(pickle.dumps({"state_dict": WEIGHTS}, protocol=4))
    with pytest.raises(ValueError, match="other.ckpt: cannot be read as a checkpoint"):
        load_state_dict(path)
