"""The published function that draws images of one condition set, for notebooks.

    sampler = DDIMSampler(model)
    mask = ConditionDefinition("mask", "segmentation", "mask")
    process(1, 0, {"mask": "masks/a.png"}, [mask], "a cell", "", "", 2, sampler, 20, False,
            1.0, 9.0, -1, 1.0, "out/images", "out/conditions", model)

The model, its control branches and the sampler are the caller's. Whole runs, which can be resumed,
are made by `generation.run`.
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

import config
from cldm.parts_in_turn import PartsInTurn
from cldm.sampling import NotFiniteError, control_scales, decode, paired_conditions, to_pixels
from conditions import CONDITIONS, ConditionOptions, create_condition
from conditions.base import PUBLISHED_CLASSES
from conditions.segmentation import Segmentation
from core.imaging.images import write_png
from generation.names import condition_name, image_name, name_ending
from generation.planning.branches import Branch, check_name
from generation.planning.inputs import check_condition_set, read_hints, stack_hints
from generation.planning.plan import ConditionSet
from ldm.modules.diffusionmodules.util import size_factor

MAX_SEED = 2**31  # above all drawn seeds


@dataclass(frozen=True)
class ConditionDefinition:
    """One control branch of the caller's model.

    Attributes:
        key: names the files of the condition and, as a rule, its folder.
        modality: "segmentation", "edge", "rgba" or another name of `conditions.CONDITIONS`.
        display_name: for people.
        channels: of the branch's hint.
    Raises:
        ValueError: a key that is no folder's name, or an unknown modality.
    """

    key: str
    modality: str
    display_name: str
    channels: int = 3

    def __post_init__(self):
        check_name(self.key, f"key {self.key!r}")
        if self.modality not in CONDITIONS:
            expected = ", ".join(CONDITIONS)
            raise ValueError(f"{self.key}: modality {self.modality!r}, expected one of {expected}")

    def branch(self, path: Path, num_classes: int) -> Branch:
        """The branch that reads and checks the file of the condition.

        Raises:
            ValueError: the branch's channels do not fit the condition.
        """
        condition = create_condition(self.modality, ConditionOptions(num_classes))
        # Classes need a channel each; more channels than classes stay empty, as published.
        spare = isinstance(condition, Segmentation) and self.channels > condition.hint_channels
        if self.channels != condition.hint_channels and not spare:
            raise ValueError(
                f"{self.key}: channels {self.channels}, expected {condition.hint_channels} for "
                f"{self.modality} with {num_classes} classes"
            )
        return Branch(self.key, condition, weights=Path(), folder=path.parent)

    def widened(self, hint: np.ndarray) -> np.ndarray:
        """A hint (H, W, C) with empty channels up to `channels`."""
        return np.pad(hint, [(0, 0), (0, 0), (0, self.channels - hint.shape[2])])


@torch.no_grad()
def process(
    batch_idx: int,
    img_idx: int,
    condition_sample: Mapping[str, str],
    condition_definitions: Sequence[ConditionDefinition],
    prompt: str,
    a_prompt: str,
    n_prompt: str,
    num_samples_per_inference: int,
    ddim_sampler,
    ddim_steps: int,
    guess_mode: bool,
    strength: float,
    scale: float,
    seed: int,
    eta: float,
    img_save_path: str,
    condition_save_path: str,
    model,
    num_segmentation_classes: int = PUBLISHED_CLASSES,
) -> list[np.ndarray]:
    """Draw and write N images of one condition set, with the published arguments and file names.

    Args:
        batch_idx, img_idx: numbers of batch and condition set in the file names.
        condition_sample: condition file by the key of its definition.
        condition_definitions: one for each control branch of the model, in their order.
        prompt, a_prompt, n_prompt: text, text that is appended to it, text of the guidance.
        num_samples_per_inference: N, drawn together.
        ddim_sampler: a `DDIMSampler` of the model.
        guess_mode, strength: see `cldm.sampling.control_scales`, which are set at the model.
        scale: of the guidance.
        seed: of the noise, which is the same in all calls with this seed; -1 draws one with
            Python's `random`. Generators of torch and numpy are left as they were.
        img_save_path, condition_save_path: folders, made where they are missing.
        model: a ControlLDM.
        num_segmentation_classes: of masks and RGBA tensors.
    Returns:
        N images, uint8 (H, W, 3).
    Raises:
        KeyError: a definition for whose key there is no file.
        FileNotFoundError, ValueError: as `check_condition_set`, or a wrong argument.
        RuntimeError: an image has values that are NaN or infinite. Nothing is written then.
    """
    if num_samples_per_inference < 1 or not condition_definitions:
        raise ValueError("expected at least one sample and one condition definition")
    files = _files(condition_sample, condition_definitions)
    branches = [
        definition.branch(path, num_segmentation_classes)
        for definition, path in zip(condition_definitions, files, strict=True)
    ]
    hints = _read(ConditionSet(img_idx, files), branches, model)  # (H, W, C) each
    seed = random.randrange(MAX_SEED) if seed == -1 else seed
    model.control_scales = control_scales(strength, guess_mode, len(model.control_scales))
    shown = [
        definition.widened(hint)
        for definition, hint in zip(condition_definitions, hints, strict=True)
    ]
    texts = ", ".join(filter(None, (prompt, a_prompt))), n_prompt
    parts = PartsInTurn(model) if config.save_memory else model
    embeddings = [
        parts.get_learned_conditioning([text] * num_samples_per_inference) for text in texts
    ]
    stacked = stack_hints([shown] * num_samples_per_inference, multiple=1)
    # It also brings the networks of the steps to the GPU.
    cond, uncond = paired_conditions(parts, stacked, *embeddings, guess_mode)
    with _seeded(seed, model.device):
        z, _ = ddim_sampler.sample(
            ddim_steps,
            num_samples_per_inference,
            model.latent_shape(*hints[0].shape[:2]),
            cond,
            verbose=False,
            eta=eta,
            unconditional_guidance_scale=scale,
            unconditional_conditioning=uncond,
        )  # (N, C, H/8, W/8)
    endings = [name_ending(img_idx, batch_idx, i) for i in range(num_samples_per_inference)]
    try:
        images = list(to_pixels(decode(parts, z)))  # (H, W, 3) each
    except NotFiniteError as error:
        path = Path(img_save_path, image_name(endings[error.index]))
        raise RuntimeError(f"{path}: not written. {error}") from error
    conditions = {}  # picture by the name of its folder
    for branch, hint in zip(branches, hints, strict=True):
        conditions |= branch.condition.pictures(branch.name, hint)
    for ending, image in zip(endings, images, strict=True):
        for folder, picture in conditions.items():
            write_png(Path(condition_save_path, folder, condition_name(folder, ending)), picture)
        # The image comes last: where it is, its conditions are too.
        write_png(Path(img_save_path, image_name(ending)), image)
    return images


def _files(
    sample: Mapping[str, str], definitions: Sequence[ConditionDefinition]
) -> tuple[Path, ...]:
    """The file of each definition."""
    for definition in definitions:
        if definition.key not in sample:
            raise KeyError(f"condition_sample has no file for {definition.key!r}")
    return tuple(Path(sample[definition.key]) for definition in definitions)


@contextmanager
def _seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Draw torch's random numbers from a seed in the block; afterwards all is as it was."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


def _read(conditions: ConditionSet, branches: Sequence[Branch], model) -> list[np.ndarray]:
    """The hints of a condition set, (H, W, C) each, after all checks."""
    height, width = check_condition_set(conditions, branches, multiple=1, pad=False)
    unet = model.model.diffusion_model
    multiple = model.first_stage_model.downsampling * size_factor(unet.channel_mult)
    if height % multiple or width % multiple:
        raise ValueError(
            f"{conditions.files[0]}: {width} x {height} pixels, expected multiples of {multiple}. "
            "Resize it."
        )
    return read_hints(conditions, branches)
