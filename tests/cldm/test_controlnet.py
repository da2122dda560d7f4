"""The whole model: golden numbers, published names, effects of the control branch.

The golden numbers come from an independent implementation of the published model with the same
weights (`weights.py`).
"""

import copy

import pytest
import torch

from cldm.configuration import read_config
from cldm.controlnet import scale_residuals
from cldm.ddim_hacked import DDIMSampler
from ldm.util import instantiate_from_config
from tests.conftest import FIXTURES
from tests.weights import fill_parameters, fill_zero_layers

TOLERANCE = 1e-4  # of the largest absolute value
GUESS_SCALES = [0.7 * 0.825 ** (12 - i) for i in range(13)]
MODELS = FIXTURES.parents[1] / "models"
# Parts of the U-Net that the control branch copies.
ENCODER_PARTS = ("time_embed.", "input_blocks.", "middle_block.")


@pytest.fixture
def cond(golden):
    return {"c_crossattn": [golden["context"]], "c_concat": [golden["hint"]]}


@pytest.fixture
def check(golden):
    """Function that compares a tensor with the golden entry of a name."""

    def compare(name, actual):
        expected = golden[name]
        assert actual.shape == expected.shape
        error = (actual - expected).abs().max() / expected.abs().max()
        assert error < TOLERANCE, f"{name}: off by {error:.1e} of its largest value"

    return compare


# Golden numbers


@torch.no_grad()
def test_golden_unet(shared_tiny_cldm, golden, cond, check):
    check(
        "eps_nocontrol",
        shared_tiny_cldm.apply_model(golden["x"], golden["t"], {**cond, "c_concat": None}),
    )
    check("alphas_cumprod", shared_tiny_cldm.alphas_cumprod)


@torch.no_grad()
def test_golden_control(shared_tiny_cldm, golden, check):
    control = shared_tiny_cldm.control_model(
        x=golden["x"], hint=golden["hint"], timesteps=golden["t"], context=golden["context"]
    )
    assert len(control) == 13
    for i, residual in enumerate(control):
        check(f"control_{i:02d}_mean", residual.mean(dim=(2, 3)))
    check("control_first", control[0])
    check("control_last", control[-1])


@torch.no_grad()
@pytest.mark.parametrize(
    ("entry", "changes"),
    [
        ("eps", {}),
        ("eps_guess_scales", {"control_scales": GUESS_SCALES}),
        ("eps_only_mid", {"only_mid_control": True}),
    ],
)
def test_golden_steered_unet(shared_tiny_cldm, golden, cond, check, entry, changes, monkeypatch):
    for name, value in changes.items():
        monkeypatch.setattr(shared_tiny_cldm, name, value)
    check(entry, shared_tiny_cldm.apply_model(golden["x"], golden["t"], cond))


@torch.no_grad()
def test_golden_autoencoder(shared_tiny_cldm, golden, check):
    check("vae_moments", shared_tiny_cldm.first_stage_model.encode(golden["img"]).parameters)
    check("decoded", shared_tiny_cldm.decode_first_stage(golden["z"]))


def test_golden_loss_and_gradients(tiny_cldm, golden, cond, check):
    loss = tiny_cldm.sample_losses(golden["x"], cond, golden["t"], golden["noise"]).mean()
    loss.backward()
    gradients = [parameter.grad for parameter in tiny_cldm.control_model.parameters()]
    check("loss", loss.detach())
    check(
        "grad_norm_control",
        torch.cat([gradient.flatten() for gradient in gradients]).double().norm().float(),
    )
    check("grad_hint0", tiny_cldm.control_model.input_hint_block[0].weight.grad.flatten()[:64])


@pytest.mark.parametrize(
    ("entry", "steps", "guess"),
    [("ddim6_cfg9_strength2", 6, False), ("ddim5_guess", 5, True)],
)
@pytest.mark.parametrize("encoded_once", [False, True])
def test_golden_sampling(
    shared_tiny_cldm, golden, cond, check, entry, steps, guess, encoded_once, monkeypatch
):
    monkeypatch.setattr(shared_tiny_cldm, "control_scales", [2.0] * 13)
    with torch.no_grad():
        cond = shared_tiny_cldm.encode_hints(cond) if encoded_once else cond
    uncond = {**cond, "c_crossattn": [golden["uncond"]]}
    if guess:
        uncond = {"c_crossattn": [golden["uncond"]], "c_concat": None}
    samples, _ = DDIMSampler(shared_tiny_cldm).sample(
        steps,
        2,
        (4, 16, 16),
        cond,
        x_T=golden["x_T"],
        unconditional_guidance_scale=9.0,
        unconditional_conditioning=uncond,
        verbose=False,
    )
    check(entry, samples)


# Published names


@pytest.mark.parametrize(
    ("config", "text_table"),
    [
        ("cldm_v15.yaml", "keys_clip_vitl14_text.json"),
        ("cldm_v21.yaml", "keys_openclip_vith14_text.json"),
        ("cldm_v21_768_v.yaml", "keys_openclip_vith14_text.json"),
    ],
)
def test_names_and_shapes_are_the_published_ones(published_shapes, config, text_table):
    with torch.device("meta"):
        model = instantiate_from_config(read_config(MODELS / config))
    shapes = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    text = {name: shape for name, shape in shapes.items() if name.startswith("cond_stage_model.")}
    rest = {name: shape for name, shape in shapes.items() if name not in text}
    expected_text = published_shapes(text_table)
    expected_text.pop(
        "cond_stage_model.transformer.text_model.embeddings.position_ids", None
    )  # a constant, accepted on loading
    assert text == expected_text
    expected = published_shapes("keys_cldm_v15.json")
    if config == "cldm_v15.yaml":
        assert rest == expected
    else:  # the same names; linear projections instead of 1x1 convolutions, and a wider text
        assert set(rest) == set(expected)
        changed = {name for name in rest if rest[name] != expected[name]}
        reads_text = ("attn2.to_k.weight", "attn2.to_v.weight")
        assert changed and all(
            name.endswith(("proj_in.weight", "proj_out.weight", *reads_text)) for name in changed
        )
        assert all(
            shape[1:] == (1024,) for name, shape in rest.items() if name.endswith(reads_text)
        )


def test_parameter_counts_of_stable_diffusion():
    with torch.device("meta"):
        model = instantiate_from_config(read_config(MODELS / "cldm_v15.yaml"))
    parts = {
        "model": 859.5,
        "control_model": 361.3,
        "first_stage_model": 83.7,
        "cond_stage_model": 123.1,
    }  # millions
    for name, millions in parts.items():
        assert sum(
            parameter.numel() for parameter in getattr(model, name).parameters()
        ) / 1e6 == pytest.approx(millions, abs=0.06)


def test_control_branch_has_the_unet_encoders_names_and_shapes(shared_tiny_cldm):
    weights = shared_tiny_cldm.model.diffusion_model.state_dict()
    unet = {name: value.shape for name, value in weights.items() if name.startswith(ENCODER_PARTS)}
    control = {
        name: value.shape for name, value in shared_tiny_cldm.control_model.state_dict().items()
    }
    assert unet.items() <= control.items()
    assert {name.split(".")[0] for name in control.keys() - unet.keys()} == {
        "zero_convs",
        "input_hint_block",
        "middle_block_out",
    }


# The control branch


@pytest.fixture
def fresh_cldm(tiny_yaml):
    """As created: zero convolutions in the control branch, zero layers in the U-Net."""
    return instantiate_from_config(read_config(tiny_yaml)).eval()


@torch.no_grad()
def test_fresh_controlnet_changes_nothing(fresh_cldm, golden, cond):
    # The U-Net only; the control branch keeps its zero convolutions.
    fill_zero_layers(fresh_cldm.model, std=0.05)
    plain = fresh_cldm.apply_model(golden["x"], golden["t"], {**cond, "c_concat": None})
    assert plain.abs().max() > 0
    assert torch.equal(fresh_cldm.apply_model(golden["x"], golden["t"], cond), plain)
    fill_zero_layers(fresh_cldm.control_model, std=0.05)
    assert not torch.allclose(
        fresh_cldm.apply_model(golden["x"], golden["t"], cond), plain, atol=1e-3
    )


def test_fresh_controlnet_learns(fresh_cldm, golden, cond):
    """Zero convolutions get gradients at once, the layers before them after one step.

    Zhang et al. 2023, Sec. 3.1.
    """
    fill_zero_layers(fresh_cldm.model, std=0.05)
    optimizer = torch.optim.AdamW(fresh_cldm.trainable_parameters(), lr=1e-5)
    first_hint = fresh_cldm.control_model.input_hint_block[0].weight
    norms = []
    for _ in range(3):
        optimizer.zero_grad()
        losses = fresh_cldm.sample_losses(golden["x"], cond, golden["t"], golden["noise"])
        losses.mean().backward()
        norms.append(
            (fresh_cldm.control_model.zero_convs[0][0].weight.grad.norm(), first_hint.grad.norm())
        )
        optimizer.step()
    assert norms[0][0] > 0 and norms[0][1] == 0
    assert norms[2][1] > 0  # the hint encoder ends in a zero convolution too, so it takes two steps


@pytest.mark.parametrize("channels", [1, 4, 7])
@torch.no_grad()
def test_other_hint_channels(tiny_yaml, golden, channels):
    config = copy.deepcopy(read_config(tiny_yaml)["params"]["control_stage_config"])
    config["params"]["hint_channels"] = channels
    control_model = fill_parameters(instantiate_from_config(config))
    hint = torch.rand(2, channels, 128, 128)
    residuals = control_model(
        x=golden["x"], hint=hint, timesteps=golden["t"], context=golden["context"]
    )
    assert len(residuals) == 13 and residuals[0].shape == (2, 32, 16, 16)
    for channel in range(channels):  # every channel is read
        changed = hint.clone()
        changed[:, channel] = 0
        assert not torch.equal(control_model.encode_hint(changed), control_model.encode_hint(hint))


@pytest.mark.parametrize("size", [(128, 120), (64, 128), (16, 16)])
def test_hint_of_the_wrong_size(shared_tiny_cldm, golden, size):
    with pytest.raises(
        ValueError,
        match=rf"hint of size \({size[0]}, {size[1]}\) for latents of \(16, 16\): expected 8 times",
    ):
        shared_tiny_cldm.control_model(
            x=golden["x"],
            hint=torch.zeros(2, 3, *size),
            timesteps=golden["t"],
            context=golden["context"],
        )


@torch.no_grad()
def test_scales_and_encoded_hints(shared_tiny_cldm, golden, cond, monkeypatch):
    plain = shared_tiny_cldm.apply_model(golden["x"], golden["t"], {**cond, "c_concat": None})
    steered = shared_tiny_cldm.apply_model(golden["x"], golden["t"], cond)
    assert torch.equal(
        shared_tiny_cldm.apply_model(golden["x"], golden["t"], shared_tiny_cldm.encode_hints(cond)),
        steered,
    )
    monkeypatch.setattr(shared_tiny_cldm, "control_scales", [0.0] * 13)
    assert torch.equal(shared_tiny_cldm.apply_model(golden["x"], golden["t"], cond), plain)


# Training


def test_control_branch_is_trained_and_the_decoder_if_unlocked(tiny_cldm):
    for sd_locked, prefixes in (
        (True, ()),
        (False, ("model.diffusion_model.output_blocks.", "model.diffusion_model.out.")),
    ):
        tiny_cldm.sd_locked = sd_locked
        tiny_cldm.freeze_the_rest()
        trained = {id(parameter) for parameter in tiny_cldm.trainable_parameters()}
        for name, parameter in tiny_cldm.named_parameters():
            expected = name.startswith(("control_model.", *prefixes))
            assert (id(parameter) in trained) == parameter.requires_grad == expected, name


# Interface that notebooks use


def test_low_vram_shift_moves_what_the_phase_does_not_need(tiny_cldm, monkeypatch):
    where = {}
    for name in ("model", "control_model", "first_stage_model", "cond_stage_model"):
        monkeypatch.setattr(
            getattr(tiny_cldm, name),
            "to",
            lambda device, name=name: where.update({name: str(device)}),
        )
    monkeypatch.setattr(type(tiny_cldm), "device", property(lambda self: "cuda:0"))
    tiny_cldm.low_vram_shift(is_diffusing=True)
    assert where == {
        "model": "cuda:0",
        "control_model": "cuda:0",
        "first_stage_model": "cpu",
        "cond_stage_model": "cpu",
    }
    tiny_cldm.low_vram_shift(is_diffusing=False)
    assert where == {
        "model": "cpu",
        "control_model": "cpu",
        "first_stage_model": "cuda:0",
        "cond_stage_model": "cuda:0",
    }


def test_published_attributes_hold_what_the_configuration_gives(tiny_yaml):
    config = read_config(tiny_yaml)
    given = {"only_mid_control": True, "sd_locked": False, "control_key": "edges"}
    config["params"].update(given)
    with torch.device("meta"):
        model = instantiate_from_config(config)
    assert {name: getattr(model, name) for name in given} == given
    # One scale for each of the 12 input blocks of the U-Net, and one for its middle block.
    assert len(model.control_scales) == len(model.model.diffusion_model.input_blocks) + 1 == 13


def test_prompts_become_one_embedding_each(shared_tiny_cldm):
    assert shared_tiny_cldm.get_learned_conditioning(["a", "b", "c"]).shape == (3, 77, 32)
    assert torch.equal(
        shared_tiny_cldm.get_unconditional_conditioning(2),
        shared_tiny_cldm.get_learned_conditioning(["", ""]),
    )


@pytest.mark.parametrize("name", sorted(path.name for path in MODELS.glob("*.yaml")))
def test_every_shipped_configuration_builds(name):
    with torch.device("meta"):
        model = instantiate_from_config(read_config(MODELS / name))
    assert model.first_stage_model.downsampling == 8


def test_thirteen_scales_on_a_smaller_network():
    """The deepest residual takes the last scale, whatever the number of residuals."""
    residuals = [torch.ones(1), torch.ones(1)]
    thirteen = [float(i) for i in range(13)]
    assert [r.item() for r in scale_residuals(residuals, thirteen)] == [11.0, 12.0]
    assert [r.item() for r in scale_residuals(residuals, [5.0, 6.0])] == [5.0, 6.0]
    with pytest.raises(ValueError, match="3 control scales for 2 residuals, expected as many, or"):
        scale_residuals(residuals, [1.0, 1.0, 1.0])
