"""The discriminator of patches: who gets which gradient, and how strong it is."""

import pytest
import torch

from training.base.discriminator import PatchDiscriminator, balance


def test_each_loss_moves_its_own_network():
    torch.manual_seed(0)
    discriminator = PatchDiscriminator()
    image, reconstruction = torch.randn(2, 2, 3, 32, 32).unbind()
    reconstruction.requires_grad_(True)
    decoder_loss, own_loss = discriminator.losses(image, reconstruction)
    decoder_loss.backward()
    assert reconstruction.grad.abs().max() > 0
    assert all(parameter.grad is None for parameter in discriminator.parameters())
    reconstruction.grad = None
    own_loss.backward()
    assert reconstruction.grad is None
    *others, last_bias = discriminator.parameters()  # both images pull the bias equally
    assert all(parameter.grad.abs().max() > 0 for parameter in others)


def test_it_learns_to_tell_grain_from_smooth_images():
    """Grain that the eye sees, a twentieth of the range: real images score above smooth ones."""
    torch.manual_seed(0)
    discriminator = PatchDiscriminator()
    optimizer = torch.optim.Adam(discriminator.parameters(), 1e-3)

    def images(grain):
        smooth = torch.randn(8, 3, 1, 1).expand(8, 3, 32, 32)
        return 0.3 * smooth + grain * torch.randn(8, 3, 32, 32)

    for _ in range(200):
        optimizer.zero_grad()
        discriminator.losses(images(0.1), images(0.0))[1].backward()
        optimizer.step()
    assert discriminator(images(0.1)).mean() > discriminator(images(0.0)).mean() + 2


def test_balanced_losses_have_equal_gradients():
    weight = torch.nn.Parameter(torch.tensor([1.0, 2.0]))
    first, second = 6 * weight.sum(), (3 * weight).sum()  # gradients 6 and 3 in each place
    assert balance(first, second, weight) == pytest.approx(2.0, rel=1e-3)
