"""The published `process`, driven as the published main does, with small models."""

import random
from pathlib import Path

import numpy as np
import pytest
import torch
from einops import rearrange

import config
from cldm.ddim_hacked import DDIMSampler
from cldm.model import create_model, load_state_dict
from core.imaging.images import read_image, write_png
from core.imaging.labels import read_labels
from generate import ConditionDefinition, MultiConditionControlNet, process

MASK = ConditionDefinition(key="mask", modality="segmentation", display_name="mask", channels=3)
OUTLINE = ConditionDefinition(key="outline", modality="edge", display_name="outline")


@pytest.fixture
def model(micro_yaml, branch_weights):
    """A model with two branches, put together as in the published main."""
    controls = []
    for name in ("mask", "outline"):
        model = create_model(str(micro_yaml)).cpu()
        weights = load_state_dict(str(branch_weights(name, 3)), location="cpu")
        model.load_state_dict(weights)
        controls.append(model.control_model.eval())
    model.control_model = MultiConditionControlNet(
        modules=controls,
        channel_splits=[3, 3],
        condition_keys=["mask", "outline"],
        per_condition_scales=[1.0, 0.5],
    )
    assert model.control_model.get_condition_scales() == {"mask": 1.0, "outline": 0.5}
    return model.eval()


@pytest.fixture
def sample(pairs, tmp_path):
    """A mask and an edge map, by key."""
    labels = read_labels(pairs / "masks" / "cell_1.png")
    edges = np.uint8(255) * (labels != np.roll(labels, 1, axis=1))
    write_png(tmp_path / "outline.png", edges.astype(np.uint8))
    return {"mask": str(pairs / "masks" / "cell_1.png"), "outline": str(tmp_path / "outline.png")}


@pytest.fixture
def draw(model, sample, tmp_path):
    """Function that calls `process` with the names of the published main, and changes."""

    def draw(**changes):
        published = dict(
            batch_idx=1,
            img_idx=0,
            condition_sample=sample,
            condition_definitions=[MASK, OUTLINE],
            prompt="a cell",
            a_prompt="sharp",
            n_prompt="blurred",
            num_samples_per_inference=2,
            ddim_sampler=DDIMSampler(model),
            ddim_steps=3,
            guess_mode=False,
            strength=2.0,
            scale=5.0,
            seed=7,
            eta=1.0,
            img_save_path=str(tmp_path / "run" / "images"),
            condition_save_path=str(tmp_path / "run" / "conditions"),
            model=model,
        )
        return process(**published | changes)

    return draw


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@torch.no_grad()
def by_hand(model, sample, guess_mode):
    """The images that `draw` gives, from the sampler alone."""
    labels = read_labels(sample["mask"])
    planes = [labels == i for i in range(3)] + [read_image(sample["outline"])[..., 0]] * 3
    hint = torch.from_numpy(np.stack(planes).astype(np.float32))[None].repeat(2, 1, 1, 1)
    cond = {
        "c_concat": [hint],
        "c_crossattn": [model.get_learned_conditioning(["a cell, sharp"] * 2)],
    }
    un_cond = {
        "c_concat": None if guess_mode else [hint],
        "c_crossattn": [model.get_learned_conditioning(["blurred"] * 2)],
    }
    count = len(model.control_scales)
    model.control_scales = [
        2.0 * (0.825 ** (count - 1 - i) if guess_mode else 1) for i in range(count)
    ]
    torch.manual_seed(7)
    z, _ = DDIMSampler(model).sample(
        3,
        2,
        (4, 8, 8),
        cond,
        verbose=False,
        eta=1.0,
        unconditional_guidance_scale=5.0,
        unconditional_conditioning=un_cond,
    )
    images = rearrange(model.decode_first_stage(z), "n c h w -> n h w c")
    return (images * 127.5 + 127.5).numpy().clip(0, 255)


@pytest.mark.parametrize(("guess_mode", "save_memory"), [(False, False), (True, True)])
def test_images_are_those_of_the_sampler(
    draw, model, sample, tmp_path, guess_mode, save_memory, monkeypatch
):
    monkeypatch.setattr(config, "save_memory", save_memory)
    images = draw(guess_mode=guess_mode)
    assert [image.shape for image in images] == [(64, 64, 3)] * 2 and images[0].dtype == np.uint8
    assert not np.array_equal(*images) and images[0].std() > 1
    assert np.abs(by_hand(model, sample, guess_mode) - images).max() < 1
    run = tmp_path / "run"
    assert files(run) == sorted(
        f"{folder}_cond0_batch1_sample{i}.png"
        for folder in ("images/image", "conditions/mask/mask", "conditions/outline/outline")
        for i in range(2)
    )
    for i, image in enumerate(images):
        stored = read_image(run / "images" / f"image_cond0_batch1_sample{i}.png")
        assert np.array_equal((stored * 255).round(), image)
    for key, source in sample.items():
        stored = run / "conditions" / key / f"{key}_cond0_batch1_sample1.png"
        assert np.array_equal(read_image(stored), read_image(source))


def test_drawn_seeds_differ_and_no_generator_is_set_back(draw):
    """The published -1 seeded the generator that draws the next seed, and soon came in circles."""
    random.seed(3)
    before = torch.get_rng_state()
    first, second = (draw(seed=-1)[0] for _ in range(2))
    assert not np.array_equal(first, second)
    assert torch.equal(torch.get_rng_state(), before)
    after = random.getstate()
    random.seed(3)
    assert [random.randrange(2**31) for _ in range(2)] and random.getstate() == after
    assert np.array_equal(draw()[1], draw()[1])


def test_wrong_conditions_are_named_and_nothing_is_written(draw, sample, tmp_path):
    wrong = np.zeros((64, 64), np.uint8)
    wrong[:9] = 3
    write_png(tmp_path / "four.png", wrong)
    write_png(tmp_path / "small.png", np.zeros((32, 32), np.uint8))
    write_png(tmp_path / "odd.png", np.zeros((64, 70), np.uint8))
    for changes, error, message in (
        ({"condition_sample": {"mask": sample["mask"]}}, KeyError, "no file for 'outline'"),
        ({"condition_sample": sample | {"mask": "no.png"}}, FileNotFoundError, "no.png"),
        (
            {"condition_sample": sample | {"mask": str(tmp_path / "four.png")}},
            ValueError,
            r"four.png: found value\(s\) 3, expected 0..2",
        ),
        (
            {"condition_sample": sample | {"outline": str(tmp_path / "small.png")}},
            ValueError,
            "small.png: 32 x 32 pixels, but .*cell_1.png has 64 x 64",
        ),
        (
            {
                "condition_sample": {"outline": str(tmp_path / "odd.png")},
                "condition_definitions": [OUTLINE],
            },
            ValueError,
            "odd.png: 70 x 64 pixels, expected multiples of 16. Resize it.$",
        ),
        ({"num_samples_per_inference": 0}, ValueError, "at least one sample"),
        ({"condition_definitions": []}, ValueError, "one condition definition"),
        ({"scale": 1e38}, RuntimeError, "images/image_cond0_batch1_sample0.png: not written"),
    ):
        with pytest.raises(error, match=message):
            draw(**changes)
    assert not (tmp_path / "run").exists()


def test_channels_fit_the_condition():
    def channels(modality, count, classes=3):
        definition = ConditionDefinition("c", modality, "c", count)
        branch = definition.branch(Path("a.png"), classes)
        hint = np.ones((2, 2, branch.condition.hint_channels), np.float32)
        return definition.widened(hint)[0, 0].tolist()

    assert channels("segmentation", 3) == channels("edge", 3) == [1, 1, 1]
    assert channels("rgba", 4) == [1, 1, 1, 1]
    assert channels("segmentation", 4, classes=2) == [1, 1, 0, 0]  # as published
    for modality, count, classes in (("segmentation", 3, 4), ("edge", 1, 3), ("rgba", 3, 3)):
        with pytest.raises(ValueError, match=f"c: channels {count}, expected"):
            channels(modality, count, classes)
    with pytest.raises(ValueError, match="modality 'edges', expected one of segmentation, edge"):
        ConditionDefinition("c", "edges", "c")
    with pytest.raises(ValueError, match="key '../x': a name is made of"):
        ConditionDefinition("../x", "edge", "c")
