"""Pairs of EM images and conditions, read as training samples: views, hints, prompts."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from einops import rearrange

from conditions import Condition, ConditionOptions, Layers, create_condition
from conditions.pairs import check_same_size, find_pairs
from core.draws import sample_generator
from core.imaging.images import read_image
from core.imaging.known_sizes import pixel_size_as_read
from core.imaging.pixel_size import PixelSize
from core.imaging.resampling import Resampling, resampling_to
from core.imaging.views import View, draw_view, take_centre, take_view
from core.prompts import PROMPTS, pick_prompt
from core.sample_options import SampleOptions
from core.samples import PlacedKey, Sample, SampleKey


class MyDataset(torch.utils.data.Dataset):
    """Training samples from a folder of images and a folder of conditions.

    `dataset[index]` gives the published dictionary and draws from torch's global generator, which a
    DataLoader with workers seeds from its own `generator`. `dataset[SampleKey(...)]` gives a
    `Sample` that depends on its key alone; a `PlacedKey` adds its place in a batch.

    Attributes:
        pairs: list of Pair, in natural order of the image names.
        condition: what the second folder holds.
        pixel_size: of the samples; None where it is unknown.
    """

    def __init__(
        self,
        image_dir: str | Path,
        condition_dir: str | Path,
        augment: bool = True,
        condition_type: str | Condition = "segmentation",
        rgba_alpha_scale: float = ConditionOptions.rgba_alpha_scale,
        num_classes: int = ConditionOptions.num_classes,
        image_size: int = 512,
        prompts: Sequence[str] = PROMPTS,
        prompt_drop: float = SampleOptions.prompt_drop,
        crop_scale: tuple[float, float] = SampleOptions.crop_scale,
        crop_pixels: tuple[int, int] | None = None,
        pixel_side: float | None = None,
    ):
        """Pair the files; nothing is read yet (see `check_pairs`).

        Args:
            augment: random crop, rotation and flips; otherwise the centre at native resolution.
            condition_type: what the conditions are; a name, or a `Condition` that is ready.
            rgba_alpha_scale, num_classes: options of a condition that is given by its name.
            image_size: height and width of a sample in pixels.
            prompts: one of them is drawn per sample.
            prompt_drop: probability of the empty prompt instead.
            crop_scale: smallest and largest share of the picture's area that a random crop takes.
            crop_pixels: smallest and largest side of a random crop, instead of `crop_scale`.
            pixel_side: in nm, to which images and conditions are resampled; None keeps them.
        Raises:
            FileNotFoundError, RuntimeError: as `find_pairs`.
            ValueError: as `create_condition`.
        """
        self.condition = condition_type
        if isinstance(condition_type, str):
            options = ConditionOptions(num_classes, rgba_alpha_scale)
            self.condition = create_condition(condition_type, options)
        self.pairs = find_pairs(image_dir, condition_dir, self.condition)
        self.augment = augment
        self.image_size = image_size
        self.prompts = tuple(prompts)
        self.prompt_drop = prompt_drop
        self.crop_scale, self.crop_pixels = crop_scale, crop_pixels
        self.pixel_side = pixel_side

    @cached_property
    def pixel_size(self) -> PixelSize | None:
        """See the class; raises ValueError for a damaged file."""
        return pixel_size_as_read(self.pairs[0].image.parent, self.pixel_side)

    @cached_property
    def resampling(self) -> Resampling | None:
        """Change of the files' pixel size; raises as `resampling_to`."""
        return resampling_to(self.pairs[0].image.parent, self.pixel_side)

    # The names under which notebooks read the files

    @property
    def imagePaths(self) -> list[str]:
        """Paths of the images, in the order of the samples."""
        return [str(pair.image) for pair in self.pairs]

    @property
    def conditionPaths(self) -> list[str]:
        """Paths of the conditions, in the order of the samples."""
        return [str(pair.condition) for pair in self.pairs]

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, item: int | SampleKey | PlacedKey) -> dict | Sample:
        """A `Sample` for a key; for a number the published dictionary of torch tensors.

        That holds `jpg`, float32 (h, w, 3) in [-1, 1], `txt` and `hint`, float32 (h, w, c) in [0,
        1].
        """
        if isinstance(item, SampleKey):
            return self.sample(PlacedKey(item))
        if isinstance(item, PlacedKey):
            return self.sample(item)
        # Another seed, so another view and prompt, each time the number is asked for.
        sample = self.sample(PlacedKey(SampleKey(item, int(torch.randint(2**63 - 1, ())))))
        return {"jpg": sample.image, "txt": sample.prompt, "hint": sample.hint}

    def sample(self, placed: PlacedKey) -> Sample:
        """The sample that a key decides, with its image where the place in the batch needs it.

        Raises:
            FileNotFoundError, ValueError: a file is gone or cannot be read.
            RuntimeError: image and condition are of different sizes.
        """
        key = placed.key
        pair, index = self.pairs[key.index], key.index % len(self)  # -1 is the last pair
        # Both are drawn always, so that `prompt_drop` does not change the prompts of a seed.
        generator = sample_generator(key.seed, "prompt", index)
        place, drop = torch.rand(2, generator=generator, dtype=torch.float64).tolist()
        text = pick_prompt(self.prompts, self.prompt_drop, place, drop)
        # A view may have a seed of its own: a few views, whose latents are kept, come again under
        # new prompts and new noise.
        seed = key.seed if key.view is None else key.view
        generator = sample_generator(seed, "view", index)
        layers = self.condition.read(pair.condition)
        size = layers.classes.shape[:2]  # (H, W), without decoding the image
        layers = layers.resampled(self.resampling)
        seen_size = layers.classes.shape[:2]
        view = draw_view(*seen_size, self._share(*seen_size), generator) if self.augment else None
        image = None
        if placed.needs_image:
            pixels = read_image(pair.image)
            check_same_size(pair, pixels.shape[:2], size)
            pixels = self.resampling.image(pixels) if self.resampling else pixels
            image = self._look(pixels, view, smooth=True) * 2 - 1  # (h, w, 3)
        hint = self._hint(layers, view)
        return Sample(key, image, text, hint, weight=placed.weight, whole_batch=placed.whole_batch)

    def hint(self, index: int) -> torch.Tensor:
        """The hint of a pair's centre, without augmentation, float32 (h, w, c) in [0, 1]."""
        layers = self.condition.read(self.pairs[index].condition)
        return self._hint(layers.resampled(self.resampling), None)

    def _share(self, height: int, width: int) -> tuple[float, float]:
        """Smallest and largest share of a picture's area that a crop takes; it may be above 1."""
        if self.crop_pixels is None:
            return self.crop_scale
        smallest, largest = (side**2 / (height * width) for side in self.crop_pixels)
        return smallest, largest

    def _hint(self, layers: Layers, view: View | None) -> torch.Tensor:
        """Hint of a view, or of the centre without one, (h, w, c)."""
        seen = Layers(
            self._look(layers.smooth, view, smooth=True).numpy(),
            self._look(layers.classes, view, smooth=False).numpy(),
        )
        hint = self.condition.to_hint(seen)  # (h, w, c)
        return torch.from_numpy(self.condition.turn(hint, view) if view else hint)  # (h, w, c)

    def _look(self, layer: np.ndarray, view: View | None, smooth: bool) -> torch.Tensor:
        """A layer (H, W, c) through a view, or its centre without one, (size, size, c)."""
        if not layer.shape[2]:  # most conditions lack one of the two layers
            return torch.empty(self.image_size, self.image_size, 0)
        tensor = torch.from_numpy(rearrange(layer, "h w c -> c h w"))  # (c, H, W)
        if view is None:
            seen = take_centre(tensor, self.image_size, smooth)
        else:
            seen = take_view(tensor, view, self.image_size, smooth)
        seen = seen.clamp(0, 1) if smooth else seen  # antialiasing may overshoot
        return rearrange(seen, "c h w -> h w c").contiguous()


class ValidationSet(torch.utils.data.Dataset):
    """The samples of a `MyDataset`, each with the hint of the next one as `other_hint`.

    A single sample has no other hint.
    """

    def __init__(self, dataset: MyDataset):
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def key(self, index: int) -> SampleKey:
        """Key of a sample, the same at every validation."""
        return SampleKey(index, index, -1 - index)  # below 0: never the seed of a training view

    def __getitem__(self, item: int | PlacedKey) -> Sample:
        """The sample of a number, or of its key and place in a batch."""
        placed = item if isinstance(item, PlacedKey) else PlacedKey(self.key(item))
        sample = self.dataset.sample(placed)
        if len(self) > 1:
            # The last sample gets the first one's. A network that follows its hint predicts worse
            # with it, and that gap shows whether control is learned.
            sample.other_hint = self.dataset.hint((sample.key.index + 1) % len(self))
        return sample
