"""Checkpoints: every published form loads completely or says what is missing, none runs code, files are whole or absent."""

import argparse
import builtins
import collections
import errno
import importlib
import io
import os
import pathlib
import pickle
import resource
import subprocess
import sys
import types
import zipfile

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import save_file

from cldm.model import create_model, read_config
from core import checkpoints as loader
from core.checkpoints import load_pickle, load_state_dict, load_weights, save_weights, subset
from ldm.util import instantiate_from_config
from tests.weights import fill_parameters

SUFFIXES = [".ckpt", ".pth", ".pt", ".safetensors"]
FIRST_HINT = "control_model.input_hint_block.0."
TEXT = "cond_stage_model.transformer.text_model."
WEIGHTS = {"a.weight": torch.arange(6.0).view(2, 3), "b.bias": torch.tensor([7.0])}


@pytest.fixture(scope="module")
def mini_yaml(tmp_path_factory, tiny_yaml):
    """The tiny model with fewer and narrower layers: files of 6 MB."""
    config = yaml.safe_load(tiny_yaml.read_text())
    params = config["model"]["params"]
    for name in ("control_stage_config", "unet_config"):
        params[name]["params"].update(
            channel_mult=[1], num_res_blocks=1, attention_resolutions=[1], context_dim=8
        )
    params["first_stage_config"]["params"]["ddconfig"].update(ch_mult=[1, 1], num_res_blocks=1)
    params["cond_stage_config"]["params"].update(width=8, layers=1, heads=1)
    path = tmp_path_factory.mktemp("mini") / "mini.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


@pytest.fixture(scope="module")
def mini_weights(mini_yaml):
    """All tensors of the mini model, filled by name."""
    return fill_parameters(create_model(mini_yaml)).state_dict()


def save(path, content):
    if path.suffix == ".safetensors":
        save_file(content, path)
    else:
        torch.save(content, path)
    return path


def assert_same(actual, expected):
    assert set(actual) == set(expected)
    for name, value in expected.items():
        assert actual[name].dtype == value.dtype and torch.equal(actual[name], value), name


# Forms of files


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_suffix(tmp_path, suffix):
    assert_same(load_state_dict(save(tmp_path / f"w{suffix}", WEIGHTS)), WEIGHTS)
    assert_same(load_state_dict(str(tmp_path / f"w{suffix}"), location="cpu"), WEIGHTS)


@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("zipped", [True, False])
def test_nested_state_dicts_of_new_and_old_files(tmp_path, depth, zipped):
    content = WEIGHTS
    for _ in range(depth):
        content = {"state_dict": content, "epoch": 3}
    torch.save(content, tmp_path / "w.ckpt", _use_new_zipfile_serialization=zipped)
    assert_same(load_state_dict(tmp_path / "w.ckpt"), WEIGHTS)


def test_file_that_holds_itself_does_not_hang(tmp_path):
    content = {"a": torch.ones(1)}
    content["state_dict"] = content
    assert_same(load_state_dict(save(tmp_path / "w.ckpt", content)), {"a": torch.ones(1)})


def test_weights_are_mapped_and_the_file_never_changes(tmp_path):
    path = save(tmp_path / "w.ckpt", WEIGHTS)
    before = path.read_bytes()
    loaded = load_state_dict(path)
    assert str(path) in pathlib.Path("/proc/self/maps").read_text()
    for value in loaded.values():
        value.zero_()  # as a training does
    assert path.read_bytes() == before


@pytest.fixture
def trainer_module(monkeypatch):
    """Function that puts a class or function into a module of an installed or long gone trainer, as pickle will name it."""

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
    assert_same(load_state_dict(path), WEIGHTS)
    whole = load_pickle(path, "cpu")
    assert whole["global_step"] == 17 and whole["hyper_parameters"]["betas"] == (0.9, 0.999)
    assert isinstance(whole["args"], loader.Inert) and isinstance(
        whole["hyper_parameters"]["config"], loader.Inert
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
    assert_same(load_state_dict(save(tmp_path / "w.ckpt", content)), WEIGHTS)
    assert not marker.exists()
    pickle.loads(pickle.dumps(content["callbacks"][0]))
    assert marker.exists()  # the call would have worked


# Files that are no checkpoint


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("share", [0.0, 0.001, 0.1, 0.5, 0.9, 0.999])
def test_truncated_files(tmp_path, suffix, share):
    path = save(tmp_path / f"w{suffix}", {f"layer.{i}": torch.ones(50, 50) for i in range(4)})
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(ValueError, match=rf"w{suffix}: cannot be read as .* copy it again"):
        load_state_dict(path)


TEXTS = {
    "empty": "",
    "word": "hello",
    "web page": "<html>404</html>\n",
    "git-lfs": "version https://git-lfs.github.com/spec/v1\n",
    "zeros": "\0" * 999,
    "not ASCII": "µ" * 50,
}


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_text_files(tmp_path, suffix, text):
    path = tmp_path / f"w{suffix}"
    path.write_text(text)
    with pytest.raises(ValueError, match=rf"w{suffix}: cannot be read as") as caught:
        load_state_dict(path)
    assert "\n" not in str(caught.value)


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


def test_other_archives(tmp_path):
    with zipfile.ZipFile(tmp_path / "zip.ckpt", "w") as archive:
        archive.writestr("notes.txt", "hello")
    torch.jit.script(torch.nn.ReLU()).save(tmp_path / "script.pt")
    for name in ("zip.ckpt", "script.pt"):
        with pytest.raises(ValueError, match=f"{name}: cannot be read as a checkpoint"):
            load_state_dict(tmp_path / name)


def test_paths_that_are_no_file(tmp_path):
    for path in (tmp_path / "none.ckpt", tmp_path / "none.safetensors", tmp_path):
        with pytest.raises(FileNotFoundError, match="no such checkpoint"):
            load_state_dict(path)


@pytest.mark.parametrize(
    "content", [{}, {"epoch": 3}, [torch.ones(1)], torch.ones(1), {"state_dict": {"a": 1}}]
)
def test_files_without_named_tensors(tmp_path, content):
    with pytest.raises(ValueError, match="holds no tensors by name"):
        load_state_dict(save(tmp_path / "w.pt", content))


# From file to model


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_create_model_equals_build_then_load(tmp_path, mini_yaml, mini_weights, suffix):
    model = create_model(mini_yaml, save(tmp_path / f"w{suffix}", mini_weights))
    expected = create_model(mini_yaml)
    assert_same(model.state_dict(), mini_weights)
    assert not model.training and expected.training
    for (name, parameter), other in zip(
        model.named_parameters(), expected.parameters(), strict=True
    ):
        assert parameter.requires_grad == other.requires_grad and isinstance(
            parameter, torch.nn.Parameter
        ), name
    expected.load_state_dict(load_state_dict(tmp_path / f"w{suffix}"))
    assert_same(model.state_dict(), expected.state_dict())


@pytest.fixture
def poisoned_memory():
    """New memory holds NaN instead of what happens to lie there."""
    torch.use_deterministic_algorithms(True)
    assert torch.utils.deterministic.fill_uninitialized_memory
    yield
    torch.use_deterministic_algorithms(False)


def legacy(weights):
    """As older programs wrote them: half precision, averaged copies, constants, no schedule, no unused tensors."""
    buffers = [name for name, value in weights.items() if value.shape == (1000,)]
    assert len(buffers) == 13
    result = {name: value.half() for name, value in weights.items() if name not in buffers}
    result[f"{TEXT}embeddings.position_ids"] = torch.arange(77)[None]
    result["model_ema.diffusion_modelinput_blocks00weight"] = torch.zeros(3)
    result["model_ema.decay"] = torch.tensor(0.9999)
    result["first_stage_model.loss.logvar"] = torch.zeros(())
    result["lvlb_weights"] = torch.zeros(1000)
    result["betas"] = torch.zeros(1000)  # of another schedule; the configuration decides
    return result


def test_no_memory_stays_uninitialised(tmp_path, mini_yaml, mini_weights, poisoned_memory):
    with loader.SkipInitialisation():
        blank = instantiate_from_config(read_config(mini_yaml))
    assert blank.control_model.zero_convs[0][0].weight.isnan().all()  # or this test could not fail
    path = save(tmp_path / "w.ckpt", {"state_dict": legacy(mini_weights)})
    for name, value in create_model(mini_yaml, path).state_dict().items():
        expected = (
            mini_weights[name] if value.shape == (1000,) else mini_weights[name].half().float()
        )
        assert torch.equal(value, expected), name


@pytest.mark.parametrize(
    "rename", [lambda name: name, lambda name: name.replace("text_model.", "")]
)
def test_half_precision_comes_out_float32(tmp_path, mini_yaml, mini_weights, rename):
    weights = {rename(name): value for name, value in legacy(mini_weights).items()}
    model = create_model(mini_yaml, save(tmp_path / "w.safetensors", weights))
    assert {value.dtype for value in model.state_dict().values()} == {torch.float32}


def test_the_global_generator_is_not_used(tmp_path, mini_yaml, mini_weights):
    path = save(tmp_path / "w.safetensors", mini_weights)
    before = torch.get_rng_state()
    create_model(mini_yaml, path)
    assert torch.equal(torch.get_rng_state(), before)
    create_model(mini_yaml)
    assert not torch.equal(
        torch.get_rng_state(), before
    )  # building with initialisation does use it


def test_published_way_of_loading(tmp_path, mini_yaml, mini_weights):
    """Strictly, with a checkpoint that carries `position_ids`."""
    weights = {**mini_weights, f"{TEXT}embeddings.position_ids": torch.arange(77)[None]}
    path = save(tmp_path / "w.ckpt", {"state_dict": weights})
    model = create_model(str(mini_yaml)).cpu()
    model.load_state_dict(load_state_dict(str(path), location="cpu"))
    assert_same(model.state_dict(), mini_weights)


def test_tensors_under_two_names_are_trained_apart(tmp_path, mini_yaml, mini_weights):
    """Some programs save the control branch as the very tensors of the U-Net."""
    unet, control = "model.diffusion_model.time_embed.0.weight", "control_model.time_embed.0.weight"
    path = save(tmp_path / "w.ckpt", {**mini_weights, control: mini_weights[unet]})
    model = create_model(mini_yaml, path)
    with torch.no_grad():
        model.get_parameter(control).zero_()
    assert torch.equal(model.get_parameter(unet), mini_weights[unet])


def test_several_files_that_are_complete_together(tmp_path, mini_yaml, mini_weights):
    control = {name: value + 1 for name, value in subset(mini_weights, ["control_model."]).items()}
    paths = [
        save(tmp_path / "base.ckpt", mini_weights),
        save(tmp_path / "control.safetensors", control),
    ]
    assert_same(create_model(mini_yaml, paths).state_dict(), {**mini_weights, **control})


def test_new_hint_channels(tmp_path, mini_yaml, mini_weights, capsys, poisoned_memory):
    path = save(tmp_path / "w.ckpt", mini_weights)
    model = create_model(mini_yaml, path, hint_channels=4, new_hint="random")
    assert (
        f"{path}: made for 3 hint channels, expected 4: control_model.input_hint_block.0 is initialised anew"
        in capsys.readouterr().out
    )
    for name, value in model.state_dict().items():
        if not name.startswith(FIRST_HINT):
            assert torch.equal(value, mini_weights[name]), name
    weight, bias = (model.get_parameter(f"{FIRST_HINT}{kind}") for kind in ("weight", "bias"))
    assert weight.shape == (16, 4, 3, 3) and weight.requires_grad
    assert (
        0 < weight.abs().max() <= 1 / 6 and 0 < bias.abs().max() <= 1 / 6
    )  # uniform within fan-in ** -0.5
    model.control_model.encode_hint(torch.zeros(1, 4, 16, 16))
    with pytest.raises(
        RuntimeError,
        match=rf"another architecture; 1 .* {FIRST_HINT}weight \(16, 3, 3, 3\) instead of \(16, 4, 3, 3\)",
    ):
        create_model(mini_yaml, path, hint_channels=4)
    create_model(mini_yaml, path, hint_channels=3, new_hint="random")
    assert capsys.readouterr().out == ""


def test_zero_hint_channels_keep_what_was_trained(tmp_path, mini_yaml, mini_weights, capsys):
    """The same features as before, whatever the new channel shows, and the new channel can learn."""
    path = save(tmp_path / "w.ckpt", mini_weights)
    before, after = (
        create_model(mini_yaml, path),
        create_model(mini_yaml, path, hint_channels=4, new_hint="zeros"),
    )
    assert (
        "1 channels with weights of zero are added to control_model.input_hint_block.0"
        in capsys.readouterr().out
    )
    hint = torch.rand(1, 4, 16, 16)
    features = after.control_model.encode_hint(hint)
    assert torch.equal(features, before.control_model.encode_hint(hint[:, :3]))
    features.sum().backward()
    weight = after.get_parameter(f"{FIRST_HINT}weight")
    assert weight.grad[:, 3].abs().max() > 0


def test_missing_and_left_over_tensors_are_named(tmp_path, mini_yaml, mini_weights):
    weights = {
        name: value
        for name, value in mini_weights.items()
        if not name.startswith(f"{TEXT}final_layer_norm")
    }
    weights["control_model.extra"] = torch.zeros(1)
    path = save(tmp_path / "w.ckpt", weights)
    expected = rf"w.ckpt: does not fit .*; 2 tensors missing \['{TEXT}final_layer_norm.weight', .*1 left over \['control_model.extra'\]"
    with pytest.raises(RuntimeError, match=expected):
        create_model(mini_yaml, path)


def test_checkpoint_of_another_architecture(tmp_path, mini_yaml, mini_weights, tiny_yaml):
    path = save(tmp_path / "w.safetensors", mini_weights)
    with pytest.raises(
        RuntimeError,
        match=r"w.safetensors: made for another architecture; \d+ tensors .* such as \w+\.\S+ \(",
    ):
        create_model(tiny_yaml, path)
    save(path, {"conv1.weight": torch.zeros(3), "fc.bias": torch.zeros(3)})
    with pytest.raises(
        RuntimeError, match=r"\d+ tensors missing \['.*2 left over \['conv1.weight', 'fc.bias'\]"
    ):
        create_model(mini_yaml, path)


def test_load_weights_without_the_tensors(tmp_path, mini_yaml, mini_weights):
    model = create_model(mini_yaml)
    load_weights(model, save(tmp_path / "w.pt", mini_weights))
    assert_same(model.state_dict(), mini_weights)


# Configurations


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model: [", "not a YAML file"),
        ("a: b", "expected a `model:`"),
        ("", "expected a `model:`"),
        ("model: {target: cldm.cldm.ControlLDM}", "expected a `model:`"),
        ("model: {target: os.system, params: {command: touch x}}", "target 'os.system' refused"),
        (
            "model: {target: cldm.cldm.ControlLDM, params: {}}",
            "does not describe a model of this family",
        ),
        ("model: !!python/object/apply:os.system ['touch executed']", "not a YAML file"),
    ],
)
def test_bad_configurations(tmp_path, text, message, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "c.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=message) as caught:
        create_model(path)
    assert "\n" not in str(caught.value) and list(tmp_path.iterdir()) == [path]
    with pytest.raises(FileNotFoundError, match="no such configuration"):
        create_model(tmp_path / "none.yaml")


def test_hint_channels_need_a_control_branch(tmp_path, mini_yaml):
    config = yaml.safe_load(mini_yaml.read_text())
    del config["model"]["params"]["control_stage_config"]
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(config))
    with pytest.raises(ValueError, match="does not describe a model of this family"):
        create_model(tmp_path / "c.yaml", hint_channels=4)


# Writing


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_is_saved_is_loaded(tmp_path, suffix):
    path = tmp_path / f"w{suffix}"
    save_weights({**WEIGHTS, "strided": torch.arange(12.0).view(3, 4).T}, path)
    assert_same(load_state_dict(path), {**WEIGHTS, "strided": torch.arange(12.0).view(3, 4).T})
    assert list(tmp_path.iterdir()) == [path]
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

    def fail(content, file, *args):
        pathlib.Path(file).write_bytes(b"half a file")
        raise failure

    monkeypatch.setattr(loader, "save_file", fail)
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
    subprocess.run(["umount", folder], check=True)


@pytest.mark.parametrize("name", ["w.ckpt", "w.safetensors"])
def test_full_disk(full_disk, name):
    with pytest.raises(OSError, match=r"w\.|No space left"):
        save_weights({"a": torch.zeros(100_000)}, full_disk / name)
    assert not any(full_disk.iterdir())
