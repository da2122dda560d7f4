"""What the image log shows of a training's batch."""

from types import SimpleNamespace

import torch

from ldm.modules.distributions.distributions import DiagonalGaussianDistribution
from training.callbacks.previews import TrainingPreviews


def test_latents_are_the_most_likely_ones_of_the_first_samples(tmp_path):
    moments = torch.randn(3, 8, 2, 2)
    encoders = SimpleNamespace(posterior=lambda batch: DiagonalGaussianDistribution(moments))
    module = SimpleNamespace(encoders=encoders, model="the model")
    batch = SimpleNamespace(hints=["hints"], prompts=["a", "b", "c"])
    previews = TrainingPreviews(1, folder=tmp_path, max_images=2)
    model, latents, hints, prompts = previews.unpack(module, batch)
    assert (model, hints, prompts) == ("the model", ["hints"], ["a", "b", "c"])
    assert torch.equal(latents, moments[:2, :4])  # the mode of a Gaussian is its mean
