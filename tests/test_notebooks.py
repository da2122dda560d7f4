"""Scripts as users of the published code write them: a training and a gradio-style sampling."""

import importlib
import os
from types import SimpleNamespace

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
import yaml
from einops import rearrange
from pytorch_lightning import seed_everything
from torch.utils.data import DataLoader, Dataset

import config
from annotator.canny import CannyDetector
from annotator.util import HWC3, resize_image
from cldm.ddim_hacked import DDIMSampler
from cldm.logger import ImageLogger
from cldm.model import create_model, load_state_dict
from core.imaging.images import read_image


class CirclesDataset(Dataset):
    """A user's own data set: numpy arrays, images in [-1, 1], hints in [0, 1], channels last."""

    def __init__(self, dtype=np.float32):
        self.dtype = dtype

    def __len__(self):
        return 4

    def __getitem__(self, idx):
        rows, columns = np.mgrid[:64, :64]
        disc = (rows - 32) ** 2 + (columns - 32) ** 2 < (8 + 4 * idx) ** 2
        source = np.stack([disc] * 3, axis=-1).astype(self.dtype)
        return dict(jpg=source * 1.5 - 0.75, txt="pale circle on a dark background", hint=source)


@pytest.fixture
def model(micro_yaml, micro_weights):
    model = create_model(str(micro_yaml)).cpu()
    model.load_state_dict(load_state_dict(str(micro_weights), location="cpu"))
    return model


# Training


def test_training_tutorial(model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model.learning_rate = 1e-3
    model.sd_locked = False
    model.only_mid_control = False
    unet = model.model.diffusion_model
    before = {
        name: value.clone()
        for name, value in model.state_dict().items()
        if value.is_floating_point()
    }
    dataloader = DataLoader(CirclesDataset(), num_workers=0, batch_size=2, shuffle=True)
    logger = ImageLogger(batch_frequency=2)
    trainer = pl.Trainer(
        accelerator="cpu",
        precision=32,
        max_epochs=1,
        callbacks=[logger],
        logger=pl.loggers.CSVLogger("."),
        enable_checkpointing=False,
        enable_progress_bar=False,
    )
    trainer.fit(model, dataloader)
    changed = {
        name for name, old in before.items() if not torch.equal(old, model.state_dict()[name])
    }
    assert {name.split(".")[0] for name in changed} == {"control_model", "model"}
    assert any("diffusion_model.output_blocks" in name for name in changed)
    assert not any("diffusion_model.input_blocks" in name for name in changed)
    assert unet is model.model.diffusion_model
    pictures = sorted(os.listdir("image_log/train"))
    assert pictures == [
        f"{key}_gs-000002_e-000000_b-000001.png"
        for key in ("conditioning", "control", "reconstruction", "samples_cfg_scale_9.00")
    ]
    assert read_image(f"image_log/train/{pictures[1]}").max() > 0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_validation_on_a_users_data_set(model, dtype):
    """Losses are logged under the published names, and published callbacks can monitor them."""
    loader = DataLoader(CirclesDataset(dtype), batch_size=3)  # the last batch is smaller
    trainer = pl.Trainer(accelerator="cpu", logger=False, enable_progress_bar=False)
    trainer.validate(model, loader, verbose=False)
    metrics = trainer.callback_metrics
    assert metrics["val/loss"].isfinite()
    for name in ("val/loss_simple", "val/loss_simple_ema"):
        assert torch.equal(metrics[name], metrics["val/loss"])


# Sampling, as the web demonstrations do it


def process(model, sampler, input_image, options):
    """The body of a published `gradio_*2image.py`."""
    with torch.no_grad():
        img = resize_image(HWC3(input_image), options.image_resolution)
        H, W, _ = img.shape
        detected_map = HWC3(CannyDetector()(img, 100, 200))
        control = torch.from_numpy(detected_map.copy()).float() / 255.0
        control = torch.stack([control for _ in range(options.num_samples)], dim=0)
        control = rearrange(control, "b h w c -> b c h w").clone()
        seed_everything(options.seed, verbose=False)
        if config.save_memory:
            model.low_vram_shift(is_diffusing=False)
        cond = {
            "c_concat": [control],
            "c_crossattn": [
                model.get_learned_conditioning(["a cell, best quality"] * options.num_samples)
            ],
        }
        un_cond = {
            "c_concat": None if options.guess_mode else [control],
            "c_crossattn": [model.get_learned_conditioning(["blurred"] * options.num_samples)],
        }
        shape = (4, H // 8, W // 8)
        if config.save_memory:
            model.low_vram_shift(is_diffusing=True)
        model.control_scales = (
            [options.strength * (0.825 ** float(12 - i)) for i in range(13)]
            if options.guess_mode
            else ([options.strength] * 13)
        )
        samples, intermediates = sampler.sample(
            options.ddim_steps,
            options.num_samples,
            shape,
            cond,
            verbose=False,
            eta=options.eta,
            unconditional_guidance_scale=options.scale,
            unconditional_conditioning=un_cond,
        )
        if config.save_memory:
            model.low_vram_shift(is_diffusing=False)
        x_samples = model.decode_first_stage(samples)
        x_samples = (
            (rearrange(x_samples, "b c h w -> b h w c") * 127.5 + 127.5)
            .cpu()
            .numpy()
            .clip(0, 255)
            .astype(np.uint8)
        )
        results = [x_samples[i] for i in range(options.num_samples)]
    return [255 - detected_map] + results


@pytest.fixture
def options():
    return SimpleNamespace(
        image_resolution=64, num_samples=2, ddim_steps=4, guess_mode=False,
        strength=1.0, scale=9.0, seed=12345, eta=0.0,
    )  # fmt: skip


@pytest.fixture
def photograph():
    rows, columns = np.mgrid[:80, :80]
    return (((rows - 40) ** 2 + (columns - 30) ** 2 < 400) * 200).astype(np.uint8)


@pytest.mark.parametrize("save_memory", [False, True])
@pytest.mark.parametrize("guess_mode", [False, True])
def test_gradio_script(model, options, photograph, guess_mode, save_memory, monkeypatch):
    monkeypatch.setattr(config, "save_memory", save_memory)
    options.guess_mode = guess_mode
    sampler = DDIMSampler(model)
    pictures = process(model, sampler, photograph, options)
    assert [picture.shape for picture in pictures] == [(64, 64, 3)] * 3
    again = process(model, sampler, photograph, options)
    assert all(np.array_equal(*both) for both in zip(pictures, again, strict=True))
    options.strength = 0.0
    uncontrolled = process(model, sampler, photograph, options)
    assert not np.array_equal(uncontrolled[1], pictures[1])


def test_image_to_image_with_a_mask(model):
    """Encode, noise, decode, and keep the left half, with the published calls."""
    image = torch.rand(2, 3, 64, 64) * 2 - 1
    with torch.no_grad(), model.ema_scope("sampling"):
        c = model.get_learned_conditioning(["a cell"] * 2)
        z = model.get_first_stage_encoding(model.encode_first_stage(image)).detach()
        assert z.shape == (2, 4, 8, 8)
        sampler = DDIMSampler(model)
        sampler.make_schedule(ddim_num_steps=8, ddim_eta=0.0, verbose=False)
        cond = {"c_concat": None, "c_crossattn": [c]}
        noisy = sampler.stochastic_encode(z, torch.tensor([3] * 2))
        samples = sampler.decode(
            noisy,
            cond,
            4,
            unconditional_guidance_scale=3.0,
            unconditional_conditioning={**cond, "c_crossattn": [torch.zeros_like(c)]},
            verbose=False,
        )
        mask = torch.zeros(1, 1, 8, 8)
        mask[..., :4] = 1
        kept, _ = sampler.sample(40, 2, (4, 8, 8), cond, mask=mask, x0=z, eta=0.0, verbose=False)
    assert samples.isfinite().all() and not torch.equal(samples, z)
    difference = (kept - z).abs().mean(dim=(0, 1, 2))
    assert difference[:4].mean() < difference[4:].mean() / 2


# The model's own functions


@pytest.fixture
def batch():
    return next(iter(DataLoader(CirclesDataset(), batch_size=3)))


def test_losses_by_every_published_way(model, batch):
    x, c = model.get_input(batch, model.first_stage_key, bs=2)
    assert len(x) == 2 and c["c_concat"][0].shape == (2, 3, 64, 64)
    for loss, losses in (
        model(x, c),
        model.shared_step(batch),
        model.p_losses(x, c, torch.tensor([1, 2])),
    ):
        assert loss.requires_grad and loss.item() == losses["train/loss_simple"].item()
    model.eval()
    assert set(model(x, c)[1]) == {"val/loss_simple", "val/loss"}


def test_noise_is_drawn_where_it_is_not_given(model):
    x_start, t = torch.zeros(400, 4, 2, 2), torch.full((400,), 700)
    noisy = model.q_sample(x_start=x_start, t=t)
    expected = (1 - model.alphas_cumprod[700]).sqrt().item()
    assert noisy.std().item() == pytest.approx(expected, rel=0.05)


def test_log_images(model, batch):
    model.eval()
    log = model.log_images(batch, N=2, sample=True, ddim_steps=2, split="train")
    assert {name: tuple(picture.shape) for name, picture in log.items()} == {
        name: (2, 3, 64, 64)
        for name in (
            "reconstruction",
            "control",
            "conditioning",
            "samples",
            "samples_cfg_scale_9.00",
        )
    }
    assert torch.equal(log["control"], rearrange(batch["hint"][:2], "n h w c -> n c h w") * 2 - 1)
    assert log["conditioning"].min() < -0.5 and log["conditioning"].max() == 1
    assert "samples_cfg_scale_1.00" not in model.log_images(
        batch, ddim_steps=1, unconditional_guidance_scale=1.0
    )
    with pytest.raises(ValueError, match="log_images: plot_diffusion_rows is not supported"):
        model.log_images(batch, plot_diffusion_rows=True)
    with pytest.raises(TypeError, match="log_images has no argument ddim_step"):
        model.log_images(batch, ddim_step=2)


def test_zero_convolutions(model):
    layer = model.control_model.make_zero_conv(5)
    x = torch.rand(1, 5, 3, 3)
    assert layer(x, None).shape == x.shape and not layer(x, None).any()
    model.control_model.zero_convs[0] = model.control_model.make_zero_conv(32)


def test_names_of_the_published_scripts():
    """Their values are tested where they are defined."""
    for script, names in {
        "generate": "ConditionDefinition MultiConditionControlNet load_generation_state process "
        "save_generation_state",
        "fid.compute_cem_fid": "MODEL_CONFIGS compute_fid",
        "fid.compute_normal_fid": "compute_fid",
    }.items():
        module = importlib.import_module(script)
        assert set(names.split()) == set(module.__all__)
        assert all(hasattr(module, name) for name in module.__all__)


# Keys of published configurations


@pytest.mark.parametrize(
    ("part", "key", "off", "on", "message"),
    [
        (None, "use_ema", False, True, "use_ema: true, but"),
        (None, "cond_stage_trainable", False, True, "expected cond_stage_trainable: false"),
        (None, "scheduler_config", None, {"target": "ldm.lr"}, "scheduler_config is not supported"),
        ("unet_config", "use_fp16", False, True, "use_fp16: true is not supported"),
        ("control_stage_config", "use_fp16", False, True, "use_fp16: true is not supported"),
    ],
)
def test_configuration_keys_work_or_are_refused(micro_yaml, tmp_path, part, key, off, on, message):
    def create(value):
        content = yaml.safe_load(micro_yaml.read_text())
        params = content["model"]["params"]
        (params[part]["params"] if part else params)[key] = value
        (tmp_path / "c.yaml").write_text(yaml.safe_dump(content))
        return create_model(tmp_path / "c.yaml")

    create(off)
    with pytest.raises(ValueError, match=message):
        create(on)


@torch.no_grad()
def test_global_average_pooling_removes_the_place(model, micro_yaml, monkeypatch):
    """A residual that is 5 in one of four places acts as 1.25 everywhere."""
    pooled = create_model(
        micro_yaml, config_overrides={"model": {"params": {"global_average_pooling": True}}}
    )
    assert pooled.global_average_pooling and not model.global_average_pooling
    seen = []

    def residuals(**_):
        place = torch.zeros(1, 1, 2, 2)
        place[..., 0, 1] = 5.0
        return [place] * 5

    for each in (pooled, model):
        each.control_scales = [1.0] * 5
        monkeypatch.setattr(each.control_model, "forward", residuals)
        monkeypatch.setattr(
            each.model.diffusion_model, "forward", lambda *_, control, **__: seen.append(control)
        )
        each.apply_model(
            torch.zeros(1, 4, 8, 8),
            torch.tensor([1]),
            {"c_crossattn": [torch.zeros(1, 77, 8)], "c_concat": [torch.zeros(1, 3, 64, 64)]},
        )
    assert all(residual.shape == (1, 1, 1, 1) and residual == 1.25 for residual in seen[0])
    assert seen[1][0].max() == 5
