"""Configurations: published forms are read, anything else is refused by name, overrides win."""

from pathlib import Path

import pytest
import yaml
from omegaconf import OmegaConf

from cldm.configuration import native_size, read_config
from cldm.controlnet import ControlledDiffusionModel
from cldm.model import build_model, create_model

MODELS = Path(__file__).parents[2] / "models"


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


def test_interpolation_and_numbers_without_a_point(tmp_path, mini_yaml):
    """As published files write them: sizes of the U-Net referred to, `18215e-5`, no quotes."""
    config = yaml.safe_load(mini_yaml.read_text())
    params = config["model"]["params"]
    for key in ("model_channels", "channel_mult", "context_dim"):
        params["control_stage_config"]["params"][key] = (
            f"${{model.params.unet_config.params.{key}}}"
        )
    params["scale_factor"] = "SCALE"
    path = tmp_path / "c.yaml"
    path.write_text(yaml.safe_dump(config).replace("SCALE", "18215e-5"))
    read = read_config(path)
    expected = read_config(mini_yaml)
    assert read["params"]["scale_factor"] == 0.18215
    assert read["params"]["control_stage_config"] == expected["params"]["control_stage_config"]
    model = create_model(path)
    assert type(model.control_model.channel_mult) is tuple and model.scale_factor == 0.18215


@pytest.mark.parametrize("number", [".nan", ".inf", "-.inf"])
def test_numbers_that_are_not_finite_are_refused(tmp_path, mini_yaml, number):
    config = yaml.safe_load(mini_yaml.read_text())
    config["model"]["params"]["scale_factor"] = "SCALE"
    path = tmp_path / "c.yaml"
    path.write_text(yaml.safe_dump(config).replace("SCALE", number))
    with pytest.raises(ValueError, match=r"c.yaml: params.scale_factor is not a finite number"):
        read_config(path)
    path.write_text(f"model: {{target: x, params: {{a: [{{b: 1}}, {{b: {number}}}]}}}}")
    with pytest.raises(ValueError, match=r"c.yaml: params.a.1.b is not a finite"):
        read_config(path)


@pytest.mark.parametrize("name", ["cldm_nano", "cldm_v15", "cldm_v21", "cldm_v21_768_v"])
def test_the_shipped_control_branches_have_the_sizes_of_their_unet(name):
    params = read_config(MODELS / f"{name}.yaml")["params"]
    control, unet = params["control_stage_config"]["params"], params["unet_config"]["params"]
    del unet["out_channels"]
    assert control == {**unet, "hint_channels": 3} and isinstance(control["channel_mult"], list)


def test_the_two_stable_diffusion_2_1_differ_in_size_and_prediction_alone():
    """`cldm_v21.yaml` is the published one, for v2-1_512-ema-pruned."""
    small, large = (read_config(MODELS / f"cldm_v21{name}.yaml") for name in ("", "_768_v"))
    assert (native_size(small), native_size(large)) == (512, 768)
    own = [
        (config["params"].pop("parameterization"), config["params"].pop("image_size"))
        for config in (small, large)
    ]
    assert own == [("eps", 64), ("v", 96)] and small == large


@pytest.mark.parametrize(
    "key",
    [
        "image_size",
        "unet_config",
        "unet_config.params.channel_mult",
        "first_stage_config",
        "first_stage_config.params.ddconfig",
        "first_stage_config.params.ddconfig.ch_mult",
    ],
)
def test_configurations_without_a_size_are_refused_by_name(tmp_path, mini_yaml, key):
    """Scripts compute sizes before they build a model, so no constructor would report it."""
    config = yaml.safe_load(mini_yaml.read_text())
    *parents, last = key.split(".")
    node = config["model"]["params"]
    for name in parents:
        node = node[name]
    del node[last]
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(config))
    with pytest.raises(ValueError, match=rf"c.yaml: .*model.params.{key}.*: found None, expected"):
        read_config(tmp_path / "c.yaml")


def test_overrides_win_and_what_refers_to_them_follows(tmp_path, mini_yaml):
    config = yaml.safe_load(mini_yaml.read_text())
    params = config["model"]["params"]
    params["control_stage_config"]["params"]["hint_channels"] = "${model.params.channels}"
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(config))
    for overrides in (
        {"model": {"params": {"channels": 6, "scale_factor": 0.5}}},
        OmegaConf.create({"model": {"params": {"channels": 6, "scale_factor": 0.5}}}),
    ):
        model = create_model(tmp_path / "c.yaml", config_overrides=overrides)
        assert model.scale_factor == 0.5 and model.control_model.hint_channels == 6
    with pytest.raises(ValueError, match=r"config_overrides: found \['params'\], expected model"):
        create_model(mini_yaml, config_overrides={"params": {"scale_factor": 1.0}})
    with pytest.raises(ValueError, match="unknown keys"):
        create_model(mini_yaml, config_overrides={"model": {"params": {"scale_facter": 1.0}}})


def test_published_classes_are_built_without_lightning_unless_they_are_asked_for(mini_yaml):
    config = yaml.safe_load(mini_yaml.read_text())["model"]

    def targets(node):
        if not isinstance(node, dict):
            return []
        return [node.get("target"), *(name for value in node.values() for name in targets(value))]

    assert targets(read_config(mini_yaml, published=True)) == targets(config)
    plain = read_config(mini_yaml)
    assert plain["target"] == "cldm.controlnet.ControlledDiffusionModel"
    assert not {"cldm.cldm", "ldm.models.diffusion.ddpm"} & {
        name.rpartition(".")[0] for name in targets(plain) if name
    }


def test_a_target_of_the_users_own_is_built_as_it_is(mini_yaml, monkeypatch):
    class Own(ControlledDiffusionModel):
        pass

    monkeypatch.setattr("cldm.controlnet.Own", Own, raising=False)
    overrides = {"model": {"target": "cldm.controlnet.Own"}}
    assert type(build_model(mini_yaml, config_overrides=overrides)) is Own


def test_overrides_cannot_call_a_resolver(mini_yaml):
    with pytest.raises(ValueError, match="resolver"):
        create_model(
            mini_yaml, config_overrides={"model": {"params": {"monitor": "${oc.env:HOME}"}}}
        )
