import pytest
import torch

import tool_add_control
from cldm.model import create_model
from core.checkpoints import load_state_dict
from tests.weights import fill_parameters
from utils import pretrain_base


def command(pairs, micro_yaml, output, *more):
    words = [
        "--image_path",
        pairs / "images",
        "--config",
        micro_yaml,
        "--output",
        output,
        "--image_size",
        64,
        "--vae_image_size",
        32,
    ]
    words += ["--vae_batch_size", 2, "--unet_batch_size", 2, *more]
    return [str(word) for word in words]


def test_base_goes_through_tool_add_control(pairs, micro_yaml, tmp_path):
    base, ini = tmp_path / "base.safetensors", tmp_path / "ini.ckpt"
    pretrain_base.main(command(pairs, micro_yaml, base, "--vae_steps", 2, "--unet_steps", 2))
    tool_add_control.main([str(base), str(ini), "--config", str(micro_yaml)])
    create_model(micro_yaml, ini)


def test_init_adapts_the_unet_and_keeps_the_autoencoder(pairs, micro_yaml, micro_weights, tmp_path):
    base = tmp_path / "base.safetensors"
    with pytest.raises(RuntimeError, match="left over"):  # a base has no control branch
        pretrain_base.main(
            command(pairs, micro_yaml, base, "--vae_steps", 0, "--init", micro_weights)
        )
    pretrain_base.main(command(pairs, micro_yaml, base, "--vae_steps", 1, "--unet_steps", 1))
    adapted = tmp_path / "adapted.safetensors"
    pretrain_base.main(
        command(pairs, micro_yaml, adapted, "--vae_steps", 0, "--unet_steps", 3, "--init", base)
    )
    before, after = load_state_dict(base), load_state_dict(adapted)
    changed = {key.split(".")[0] for key in before if not torch.equal(before[key], after[key])}
    assert changed == {"model", "cond_stage_model"}


def test_normalised_latents_decode_to_the_same_images(micro_yaml):
    """Mean 0 and deviation 1 / scale_factor afterwards (1 %), and the same reconstruction (1e-4)."""
    model = fill_parameters(create_model(micro_yaml)).first_stage_model.eval()
    images = torch.rand(4, 3, 64, 64) * 2 - 1
    with torch.no_grad():
        before = model.encode(images)
        expected = model.decode(before.mode())
        pretrain_base.normalise_latents(model, before.parameters, scale_factor=0.18215)
        after = model.encode(images)
        assert torch.allclose(
            model.decode(after.mode()), expected, atol=1e-4 * float(expected.abs().max())
        )
        spread = (after.mean.var(dim=(0, 2, 3)) + after.var.mean(dim=(0, 2, 3))).sqrt() * 0.18215
    assert torch.allclose(spread, torch.ones(4), rtol=0.01)
    assert float(after.mean.mean(dim=(0, 2, 3)).abs().max()) < 0.01


def test_bad_input_is_one_line(pairs, micro_yaml, micro_weights, tmp_path, error_line):
    output = tmp_path / "base.safetensors"
    assert "--init must give" in error_line(
        pretrain_base.main, *command(pairs, micro_yaml, output, "--vae_steps", 0)
    )
    assert "exists" in error_line(pretrain_base.main, *command(pairs, micro_yaml, micro_weights))
    assert "cell_0.png: 64 x 64 pixels" in error_line(
        pretrain_base.main, *command(pairs, micro_yaml, output, "--image_size", 128)
    )
    assert ".safetensors or .ckpt" in error_line(
        pretrain_base.main, *command(pairs, micro_yaml, tmp_path / "base.bin")
    )
