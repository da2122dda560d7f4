"""Images that are extended by their mirror images."""

import torch


def reflect_to(x: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Extend (..., H, W) at the bottom and the right by reflection.

    Unlike `F.pad`, this reflects as often as it takes, so `x` may be much smaller than the result.
    A side that is long enough stays as it is.
    """
    for dim, size in ((-2, height), (-1, width)):
        n = x.shape[dim]
        if n < size:
            period = max(2 * (n - 1), 1)  # 0 1 2 1 | 0 1 2 1 | ... for n = 3
            i = torch.arange(size, device=x.device) % period  # (size,)
            # Past the end, indices run backwards; the border itself is not repeated.
            x = x.index_select(dim, torch.where(i < n, i, period - i))
    return x
