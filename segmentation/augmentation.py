"""Augmentations of the segmenter: how crops are cut and how their grey values change."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch.nn import functional as F
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as v2_functional

from core.imaging.labels import IGNORE
from segmentation.options import BASIC, STRONG
from segmentation.reflection import reflect_to

# A turned square needs sqrt(2) times its side, one that is shown smaller yet more. What lies
# outside is ignored by the loss, so the margin need not cover the rare extremes.
MARGIN = 1.5


class Augmentation(NamedTuple):
    """A way to disturb the segmenter's training data.

    Attributes:
        cut: (image, mask, S) -> a crop of both, (1, S, S) and (S, S); the image is (1, H, W), the
            mask (H, W), of any size. Draws from torch's random state.
        shade: changes the grey values of a batch (N, 1, S, S) in [0, 1], each image by itself.
    """

    cut: Callable
    shade: Callable


def cut_square(image, mask, size):
    """A random square, flipped and turned by quarters: all eight symmetries."""
    image, mask = (reflect_to(x, size, size) for x in (image, mask))
    # torchvision draws once for both, as long as each says what it is.
    pair = tv_tensors.Image(image), tv_tensors.Mask(mask)
    image, mask = v2.RandomHorizontalFlip()(*v2.RandomCrop(size)(*pair))
    turns = int(torch.randint(4, ()))
    return tuple(x.as_subclass(torch.Tensor).rot90(turns, (-2, -1)) for x in (image, mask))


def cut_warped(image, mask, size):
    """A random square, at times turned, scaled and warped (Isensee et al. 2021, Suppl. Note 2).

    Pixels from beyond the square's surroundings become black and IGNORE.
    """
    image, mask = cut_square(image, mask, round(MARGIN * size))
    fill = {tv_tensors.Image: 0.0, tv_tensors.Mask: IGNORE}
    smooth = v2.InterpolationMode.BILINEAR  # of images; masks take the nearest pixel in any case
    warp = v2.Compose(
        [
            _at_times(0.2, v2.RandomAffine(180, interpolation=smooth, fill=fill)),
            _at_times(0.2, v2.RandomAffine(0, scale=(0.7, 1.4), interpolation=smooth, fill=fill)),
            # Displacements with a deviation of 3 pixels, smooth over 8.
            _at_times(0.2, _Elastic(300.0, 8.0, interpolation=smooth, fill=fill)),
            v2.CenterCrop(size),
        ]
    )
    image, mask = warp(tv_tensors.Image(image), tv_tensors.Mask(mask))
    return image.as_subclass(torch.Tensor), mask.as_subclass(torch.Tensor)


def shade_lightly(images):
    """Change brightness, contrast, sharpness and noise of each image of a batch by itself.

    Blur is among them because decoded latents are smoother than the images of a microscope.

    Args:
        images: (N, 1, H, W) in [0, 1]; the result is like it.
    """
    draws = torch.rand(4, len(images), 1, 1, 1, device=images.device)
    brightness, contrast, blur, noise = draws.unbind()  # (N, 1, 1, 1) each
    # Padded by reflection: zeros would darken the border.
    padded = F.pad(images, (1, 1, 1, 1), mode="reflect")
    smooth = F.avg_pool2d(padded, 3, stride=1)  # (N, 1, H, W)
    # Half of the images stay sharp.
    images = torch.lerp(images, smooth, (2 * blur - 1).clamp(min=0))
    mean = images.mean(dim=(-2, -1), keepdim=True)  # (N, 1, 1, 1)
    # Contrast times 0.7 to 1.3 around the mean, brightness up to 0.15 up or down.
    images = (images - mean) * (0.7 + 0.6 * contrast) + mean + 0.3 * (brightness - 0.5)
    return (images + 0.06 * noise * torch.randn_like(images)).clamp(0, 1)


class _Elastic(v2.ElasticTransform):
    """Elastic deformation whose displacements are blurred along one axis, then the other.

    The result is torchvision's, which blurs with kernels of 8 deviations squared. That takes most
    of the time of all strong augmentation.
    """

    def make_params(self, flat_inputs):
        height, width = v2.query_size(flat_inputs)
        noise = 2 * torch.rand(2, 1, height, width) - 1
        side = 2 * round(4 * self.sigma[0]) + 1  # pixels; odd
        for kernel in ([side, 1], [1, side]):  # (width, height)
            noise = v2_functional.gaussian_blur(noise, kernel, self.sigma)
        dx, dy = noise[:, 0]  # (H, W) each
        scaled = [dx * self.alpha[0] / width, dy * self.alpha[1] / height]
        return {"displacement": torch.stack(scaled, dim=-1)[None]}  # (1, H, W, 2)


class _Noise(v2.Transform):
    """White noise whose variance is drawn up to 0.1 times that of a typical image."""

    def make_params(self, flat_inputs):
        return {"sigma": 0.2 * (0.1 * float(torch.rand(()))) ** 0.5}  # 0.2: deviation of EM images

    def transform(self, inpt, params):
        return v2_functional.gaussian_noise(inpt, sigma=params["sigma"], clip=True)


class _Gamma(v2.Transform):
    """Grey values to a power of 0.7 to 1.5; of every third image, the inverted one's."""

    def make_params(self, flat_inputs):
        gamma = float(torch.empty(()).uniform_(0.7, 1.5))
        return {"gamma": gamma, "inverted": bool(torch.rand(()) < 0.33)}

    def transform(self, inpt, params):
        # Interpolation leaves values such as 1 + 1e-7, and a negative number has no power of 0.7.
        inpt = inpt.clamp(0, 1)
        if params["inverted"]:
            return 1 - v2_functional.adjust_gamma(1 - inpt, params["gamma"])
        return v2_functional.adjust_gamma(inpt, params["gamma"])


class _LowResolution(v2.Transform):
    """The image as it looks at 0.5 to 1 times its resolution, at its own size."""

    def make_params(self, flat_inputs):
        return {"factor": float(torch.empty(()).uniform_(0.5, 1.0))}

    def transform(self, inpt, params):
        size = inpt.shape[-2:]
        small = [max(1, round(params["factor"] * side)) for side in size]
        small = v2_functional.resize(inpt, small, v2.InterpolationMode.NEAREST)
        return v2_functional.resize(small, list(size), v2.InterpolationMode.BICUBIC).clamp(0, 1)


def _at_times(p, transform):
    """The transform with probability `p`, drawn from torch's random state."""
    return v2.RandomApply([transform], p)


_SHADES = v2.Compose(
    [
        _at_times(0.15, _Noise()),
        _at_times(0.2, v2.GaussianBlur(7, sigma=(0.5, 1.0))),
        _at_times(0.15, v2.ColorJitter(brightness=(0.75, 1.25))),
        _at_times(0.15, v2.ColorJitter(contrast=(0.75, 1.25))),
        _at_times(0.25, _LowResolution()),
        _at_times(0.4, _Gamma()),
    ]
)


def shade_strongly(images):
    """Noise, blur, brightness, contrast, low resolution and gamma, each in some of the images.

    Kinds, ranges and probabilities are those of nnU-Net (Isensee et al. 2021, Suppl. Note 2), whose
    images have a deviation of 1; ours about 0.2.

    Args:
        images: (N, 1, H, W) in [0, 1]; the result is like it.
    """
    return torch.stack([_SHADES(image) for image in images]).clamp(0, 1)


AUGMENTATIONS = {
    BASIC: Augmentation(cut_square, shade_lightly),
    STRONG: Augmentation(cut_warped, shade_strongly),
}
