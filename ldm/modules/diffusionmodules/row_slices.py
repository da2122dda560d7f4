"""Large maps in slices of rows: as few copies of a map at a time as possible.

torch keeps a map, its norm, the activation of that and the convolution's result at once. In slices,
all but the map and the result are small. The norms are those of the whole map, so the slices leave
no seams: results differ by rounding alone. A picture of 512 pixels is decoded with half the memory.

Maps lie channels last, as oneDNN reads and writes them. With that, and with norms that do without
`torch.var_mean`, decoding in bf16 takes 0.53 of the time (SD 1.5 on an Intel processor with AMX).
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn

SLICE = 2**21  # numbers in a slice, 8 MiB in float32; smaller ones cost time
# Slices of a map at most. glibc 2.36 does not always use memory again that was freed: without this
# limit, decoding 2,048 pixels took 6.2 GiB instead of 4.2 to 5.3 (SD 1.5, bf16; before freed memory
# was given back).
MAX_SLICES = 64


def is_large(x: torch.Tensor, growth: float = 1) -> bool:
    """Tell whether a map is worth slicing; never where a gradient may need all of it.

    Nor on a GPU, where hundreds of short calls take longer than few long ones.

    Args:
        growth: how many times as many numbers the result has.
    """
    large = growth * x.numel() > SLICE
    return large and x.device.type == "cpu" and not torch.is_grad_enabled()


def norm_silu_convolve(
    norm: nn.GroupNorm, conv: nn.Conv2d, x: torch.Tensor, in_place: bool = False
) -> torch.Tensor:
    """conv(silu(norm(x))) in slices, (N, C', H, W).

    Args:
        conv: of 3x3 pixels, padded by one.
        x: (N, C, H, W).
        in_place: write the result into `x`.
    """
    factor, offset = _affine(norm, x)  # (N, C, 1, 1) each

    def prepare(rows):
        # In float32 from here: torch is slow where types are mixed.
        return F.silu(torch.addcmul(offset, rows.float(), factor), inplace=True)  # like `rows`

    return convolve(conv, x, prepare, in_place=in_place)  # (N, C', H, W)


def convolve(
    conv: nn.Conv2d,
    x: torch.Tensor,
    prepare: Callable[[torch.Tensor], torch.Tensor] | None = None,
    growth: int = 1,
    in_place: bool = False,
) -> torch.Tensor:
    """conv(prepare(x)) in slices, (N, C', growth H, growth W).

    Args:
        conv: of 3x3 pixels, padded by one.
        x: (N, C, H, W).
        prepare: function of some rows of `x`, each of which becomes `growth` rows that depend on no
            other; None for the rows as they are.
        in_place: write the result into `x`.
    """
    count, channels, height, width = x.shape
    row = count * max(channels, conv.out_channels) * growth**2 * width  # numbers
    step, weight = _step(row, height), _weight_once(conv)
    result, late = x if in_place else None, None
    for top in range(0, height, step):
        bottom = min(top + step, height)
        part = _with_neighbours(x, top, bottom)
        part = (prepare(part) if prepare else part).to(weight.dtype)
        part = _channels_last(_one_neighbour(part, top, bottom, height, growth))
        y = F.conv2d(part, weight, conv.bias, padding=(0, 1))  # (N, C', growth rows, growth W)
        if result is None:
            result = _empty_map(y, growth * height, growth * width)
        if late:  # written one slice late: the slice at hand has read its last row
            result[:, :, late[0]].copy_(late[1])
        late = slice(growth * top, growth * bottom), y
    result[:, :, late[0]].copy_(late[1])
    return result  # (N, C', growth H, growth W)


def convolve_halving(conv: nn.Conv2d, x: torch.Tensor) -> torch.Tensor:
    """conv(x), with zeros on the right of `x` and below, in slices: (N, C', H/2, W/2).

    Args:
        conv: of 3x3 pixels, with a stride of 2 and without padding.
        x: (N, C, H, W).
    """
    height, width = (size // 2 for size in x.shape[2:])
    result = None
    step = _step(2 * x[:, :, 0].numel(), height)  # rows of the result
    for top in range(0, height, step):
        bottom = min(top + step, height)
        rows = x[:, :, 2 * top : 2 * bottom + 1]  # one more than the last pair, where there is one
        missing = 2 * (bottom - top) + 1 - rows.shape[2]
        y = conv(_channels_last(F.pad(rows, (0, 1, 0, missing))))  # (N, C', rows, W/2)
        if result is None:
            result = _empty_map(y, height, width)
        result[:, :, top:bottom].copy_(y)
    return result  # (N, C', H/2, W/2)


def add(h: torch.Tensor, x: torch.Tensor, shortcut: Callable | None) -> torch.Tensor:
    """`h` with shortcut(x) added in place and in slices; with `x` itself where that is None."""
    step = _step(x[:, :, 0].numel(), x.shape[2])
    for top in range(0, x.shape[2], step):
        rows = x[:, :, top : top + step]
        h[:, :, top : top + step] += shortcut(rows) if shortcut else rows
    return h  # (N, C', H, W)


def _weight_once(conv):
    """The weight in the type of autocast, which would convert it for every slice.

    Decoding in bf16 takes 0.94 to 0.96 of the time (SD 1.5 on an Intel processor with AMX).
    """
    weight = conv.weight
    if torch.is_autocast_enabled("cpu"):
        weight = weight.to(torch.get_autocast_dtype("cpu"))
    return _channels_last(weight)


def _channels_last(x):
    """`x` in the order that oneDNN reads and writes a map in: elsewhere it turns all it reads."""
    return x.contiguous(memory_format=torch.channels_last)


def _empty_map(part, height, width):
    """A map (N, C, height, width) like a part of it: slices of the same order are copied fast."""
    return torch.empty(
        *part.shape[:2],
        height,
        width,
        dtype=part.dtype,
        device=part.device,
        memory_format=torch.channels_last,
    )


def _step(row: int, height: int) -> int:
    """Rows in a slice of a map of `height` rows, with `row` numbers in each."""
    return max(1, SLICE // row, -(-height // MAX_SLICES))


def _with_neighbours(x, top, bottom):
    """Rows from `top` to `bottom`, and one more on each side where there is one."""
    return x[:, :, max(top - 1, 0) : bottom + 1]


def _one_neighbour(part, top, bottom, height, growth):
    """Rows of a slice that have grown, with one of their neighbours or of zeros on each side."""
    spare = growth - 1  # of the rows that a neighbour has become
    inner = part[:, :, spare if top else 0 : part.shape[2] - (spare if bottom < height else 0)]
    return F.pad(inner, (0, 0, int(top == 0), int(bottom == height)))


def _affine(norm, x):
    """Factor and offset of each channel, (N, C, 1, 1), that a group norm of `x` comes to."""
    step = _step(x[:, :, 0].numel(), x.shape[2])
    parts = [_moments(part.float()) for part in x.split(step, dim=2)]
    portions = [part.shape[2] / x.shape[2] for part in x.split(step, dim=2)]
    # In float64: sums over parts would otherwise lose digits that one norm of all keeps.
    means, variances = (
        torch.stack(values).double().unflatten(2, (norm.num_groups, -1))
        for values in zip(*parts, strict=True)
    )  # (parts, N, groups, C / groups)
    portion = means.new_tensor(portions)[:, None, None, None]  # (parts, 1, 1, 1)
    mean = (portion * means).sum(0).mean(-1)  # (N, groups)
    deviations = variances + (means - mean[..., None]) ** 2
    variance = (portion * deviations).sum(0).mean(-1)  # (N, groups)
    rate = (variance + norm.eps).rsqrt()  # (N, groups)
    per_group = x.shape[1] // norm.num_groups
    mean, rate = (y.repeat_interleave(per_group, dim=1) for y in (mean, rate))  # (N, C)
    factor = rate * norm.weight
    return (y.float()[:, :, None, None] for y in (factor, norm.bias - mean * factor))


def _moments(x):
    """Mean and variance of each channel, (N, C). torch's `var_mean` takes several times as long."""
    mean = x.mean((2, 3), keepdim=True)  # (N, C, 1, 1)
    return mean.flatten(1), (x - mean).square_().mean((2, 3))  # (N, C)
