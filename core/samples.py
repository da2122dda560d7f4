"""Training samples: the keys that decide them, what they hold, and their batches."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import torch
from einops import rearrange


class SampleKey(NamedTuple):
    """Everything that decides a sample; process, batch and order do not.

    Attributes:
        index: number of the pair.
        seed: of the prompt and, later, of the noise.
        view: seed of crop, rotation and flips; None to take them from `seed`.
    """

    index: int
    seed: int
    view: int | None = None


class PlacedKey(NamedTuple):
    """The key of a sample and its place in a batch, which changes how it is read and counted.

    Attributes:
        key: what decides the sample.
        needs_image: False where the image's latent is known already, so nobody decodes it again.
        weight: factor of the sample's loss in the sum over its process's batch.
        whole_batch: samples in the batches of all processes together.
    """

    key: SampleKey
    needs_image: bool = True
    weight: float = 1.0
    whole_batch: int = 1


@dataclass
class Sample:
    """One sample, channels last as in a file; `collate` puts channels first.

    Attributes:
        image: float32 (h, w, 3) in [-1, 1]; None where nobody needs it.
        hint: float32 (h, w, c) in [0, 1].
        other_hint: the hint of another sample, for validation.
        weight, whole_batch: see `PlacedKey`.
    """

    key: SampleKey
    image: torch.Tensor | None
    prompt: str
    hint: torch.Tensor
    other_hint: torch.Tensor | None = None
    weight: float = 1.0
    whole_batch: int = 1


@dataclass
class Batch:
    """Samples of equal size.

    Attributes:
        keys: N of them.
        has_image: N times whether `images` holds the sample's image.
        images: float32 (M, 3, h, w) in [-1, 1], of the M samples that have one, in order.
        prompts: N texts.
        hints: a list of one tensor, float32 (N, c, h, w) in [0, 1]: one control branch is trained,
            and the model takes a list because several branches may steer it later.
        other_hints: as `hints`, of other samples; empty where there are none.
        weights: float32 (N,), factors of the samples' losses.
        whole_batch: samples in the batches of all processes together.
    """

    keys: list[SampleKey]
    has_image: list[bool]
    images: torch.Tensor
    prompts: list[str]
    hints: list[torch.Tensor]
    weights: torch.Tensor
    whole_batch: int
    other_hints: list[torch.Tensor] = field(default_factory=list)

    def pin_memory(self) -> "Batch":
        """The batch in memory that a GPU reads by itself; torch's loader calls this."""
        return replace(
            self,
            images=self.images.pin_memory(),
            hints=[hint.pin_memory() for hint in self.hints],
            weights=self.weights.pin_memory(),
            other_hints=[hint.pin_memory() for hint in self.other_hints],
        )


def channels_first(pictures: Sequence[torch.Tensor]) -> torch.Tensor:
    """N pictures of one size, (h, w, c) each, as the networks take them: (N, c, h, w)."""
    return rearrange(list(pictures), "n h w c -> n c h w").contiguous()


def collate(samples: Sequence[Sample]) -> Batch:
    """Samples of one size as a batch."""
    images = [sample.image for sample in samples if sample.image is not None]
    height, width = samples[0].hint.shape[:2]
    others = [sample.other_hint for sample in samples if sample.other_hint is not None]
    return Batch(
        keys=[sample.key for sample in samples],
        has_image=[sample.image is not None for sample in samples],
        images=channels_first(images) if images else torch.empty(0, 3, height, width),
        prompts=[sample.prompt for sample in samples],
        hints=[channels_first([sample.hint for sample in samples])],  # one branch
        weights=torch.tensor([sample.weight for sample in samples]),  # (N,)
        whole_batch=samples[0].whole_batch,
        other_hints=[channels_first(others)] if others else [],
    )
