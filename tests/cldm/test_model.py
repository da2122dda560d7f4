"""From configuration and weights to a model: complete or refused, and the same by every way."""

import pytest
import torch
import yaml

from cldm.configuration import read_config
from cldm.model import (
    create_control,
    create_first_stage,
    create_model,
    get_state_dict,
    load_weights,
)
from core.weights.checkpoints import SkipInitialisation, load_state_dict, subset
from core.weights.weight_files import WEIGHT_SUFFIXES
from ldm.util import instantiate_from_config
from tests.weights import assert_same_tensors, save

FIRST_HINT = "control_model.input_hint_block.0."
TEXT = "cond_stage_model.transformer.text_model."


# From file to model


@pytest.mark.parametrize("suffix", WEIGHT_SUFFIXES)
def test_create_model_equals_build_then_load(tmp_path, mini_yaml, mini_weights, suffix):
    model = create_model(mini_yaml, save(tmp_path / f"w{suffix}", mini_weights))
    expected = create_model(mini_yaml)
    assert_same_tensors(model.state_dict(), mini_weights)
    assert not model.training and expected.training
    for (name, parameter), other in zip(
        model.named_parameters(), expected.parameters(), strict=True
    ):
        assert parameter.requires_grad == other.requires_grad and isinstance(
            parameter, torch.nn.Parameter
        ), name
    expected.load_state_dict(load_state_dict(tmp_path / f"w{suffix}"))
    assert_same_tensors(model.state_dict(), expected.state_dict())


@pytest.fixture
def poisoned_memory():
    """New memory holds NaN instead of what happens to lie there."""
    torch.use_deterministic_algorithms(True)
    assert torch.utils.deterministic.fill_uninitialized_memory
    yield
    torch.use_deterministic_algorithms(False)


def legacy(weights):
    """Weights as older programs wrote them.

    Half precision, averaged copies, constants, no schedule, no unused tensors.
    """
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
    with SkipInitialisation():
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
    assert_same_tensors(model.state_dict(), mini_weights)


def test_tensors_under_two_names_are_trained_apart(tmp_path, mini_yaml, mini_weights):
    """Some programs save the control branch as the very tensors of the U-Net."""
    unet, control = "model.diffusion_model.time_embed.0.weight", "control_model.time_embed.0.weight"
    path = save(tmp_path / "w.ckpt", {**mini_weights, control: mini_weights[unet]})
    model = create_model(mini_yaml, path)
    with torch.no_grad():
        model.get_parameter(control).zero_()
    assert torch.equal(model.get_parameter(unet), mini_weights[unet])


def test_two_files_that_are_complete_together(tmp_path, mini_yaml, mini_weights):
    """The branch comes from its file although the base has one too."""
    control = {name: value + 1 for name, value in subset(mini_weights, ["control_model."]).items()}
    base_path = save(tmp_path / "base.ckpt", mini_weights)
    path = save(tmp_path / "control.safetensors", control)
    model = create_model(mini_yaml, path, base_path=base_path)
    assert_same_tensors(model.state_dict(), {**mini_weights, **control})


def test_new_hint_channels(tmp_path, mini_yaml, mini_weights, capsys, poisoned_memory):
    path = save(tmp_path / "w.ckpt", mini_weights)
    model = create_model(mini_yaml, path, hint_channels=4, new_hint="random")
    assert (
        f"{path}: made for 3 hint channels, expected 4: "
        "control_model.input_hint_block.0 is initialised anew" in capsys.readouterr().out
    )
    for name, value in model.state_dict().items():
        if not name.startswith(FIRST_HINT):
            assert torch.equal(value, mini_weights[name]), name
    weight, bias = (model.get_parameter(f"{FIRST_HINT}{kind}") for kind in ("weight", "bias"))
    assert weight.shape == (16, 4, 3, 3) and weight.requires_grad
    # Uniform within fan-in ** -0.5
    assert 0 < weight.abs().max() <= 1 / 6 and 0 < bias.abs().max() <= 1 / 6
    model.control_model.encode_hint(torch.zeros(1, 4, 16, 16))
    expected = f"{path}: its control branch reads hints of 3 channels, expected 4.*--num_classes 3"
    with pytest.raises(ValueError, match=expected):
        create_model(mini_yaml, path, hint_channels=4)
    with pytest.raises(ValueError, match=expected):
        create_control(mini_yaml, path, hint_channels=4)
    create_model(mini_yaml, path, hint_channels=3, new_hint="random")
    assert capsys.readouterr().out == ""


def test_new_hint_channels_are_the_same_in_each_run(tmp_path, mini_yaml, mini_weights):
    path = save(tmp_path / "w.ckpt", mini_weights)
    state = torch.get_rng_state()
    weights = []
    for _ in range(2):
        model = create_model(mini_yaml, path, hint_channels=4, new_hint="random")
        weights.append(model.get_parameter(f"{FIRST_HINT}weight"))
        assert torch.equal(torch.get_rng_state(), state)  # what others draw stays the same
        state = torch.manual_seed(5).get_state()
    assert torch.equal(*weights)


def test_zero_hint_channels_keep_what_was_trained(tmp_path, mini_yaml, mini_weights, capsys):
    """Features stay the same, whatever the new channel shows, and the new channel can learn."""
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
    expected = (
        rf"w.ckpt: does not fit .*; 2 tensors missing \['{TEXT}final_layer_norm.weight', "
        r".*1 left over \['control_model.extra'\]"
    )
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


def test_a_base_is_no_starting_weights(tmp_path, mini_yaml, mini_weights):
    base = {
        name: value for name, value in mini_weights.items() if not name.startswith("control_model.")
    }
    with pytest.raises(ValueError, match=r"b.ckpt: a base without a control branch. README.md"):
        create_model(mini_yaml, save(tmp_path / "b.ckpt", base))


def test_load_weights_without_the_tensors(tmp_path, mini_yaml, mini_weights):
    model = create_model(mini_yaml)
    load_weights(model, save(tmp_path / "w.pt", mini_weights))
    assert_same_tensors(model.state_dict(), mini_weights)


def test_weights_with_nan_name_file_and_tensor(tmp_path, mini_yaml, mini_weights):
    name = "first_stage_model.quant_conv.bias"
    broken = {**mini_weights, name: torch.full_like(mini_weights[name], torch.nan)}
    path = save(tmp_path / "nan.ckpt", {"state_dict": broken})
    with pytest.raises(ValueError, match=f"nan.ckpt: {name} holds values that are NaN"):
        create_model(mini_yaml, path)


# Configurations


def test_hint_channels_need_a_control_branch(tmp_path, mini_yaml):
    config = yaml.safe_load(mini_yaml.read_text())
    del config["model"]["params"]["control_stage_config"]
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(config))
    with pytest.raises(ValueError, match="does not describe a model of this family"):
        create_model(tmp_path / "c.yaml", hint_channels=4)


def test_parts_that_lack_parameters_are_refused_with_the_file(tmp_path, mini_yaml, mini_weights):
    weights = save(tmp_path / "w.safetensors", mini_weights)
    config = yaml.safe_load(mini_yaml.read_text())
    del config["model"]["params"]["control_stage_config"]
    del config["model"]["params"]["first_stage_config"]["params"]["ddconfig"]["ch"]
    path = tmp_path / "c.yaml"
    path.write_text(yaml.safe_dump(config))
    with pytest.raises(ValueError, match=r"c.yaml: does not describe.*control_stage_config"):
        create_control(path, weights, hint_channels=3)
    with pytest.raises(ValueError, match=r"c.yaml: does not describe.*'ch'"):
        create_first_stage(path, weights)


def test_a_control_branch_is_never_trained_with_the_text_encoder(tmp_path, mini_yaml):
    config = yaml.safe_load(mini_yaml.read_text())
    config["model"]["params"]["cond_stage_trainable"] = True
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(config))
    with pytest.raises(ValueError, match="expected cond_stage_trainable: false"):
        create_model(tmp_path / "c.yaml")


def test_state_dict_of_a_checkpoint():
    weights = {"weight": torch.zeros(1)}
    assert get_state_dict({"state_dict": weights, "epoch": 3}) is weights
    assert get_state_dict(weights) is weights
