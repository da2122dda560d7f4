"""Several control branches at once (Zhang et al. 2023, Sec. 3.4).

Their residuals add up, each times its branch's strength.
"""

import torch
from torch import nn


def _check_lists(modules, channel_splits, condition_keys, per_condition_scales):
    """Raise ValueError unless there are as many of each, at least one, and no name comes twice."""
    counts = [len(modules), len(channel_splits), len(condition_keys), len(per_condition_scales)]
    if len(set(counts)) > 1 or not modules:
        raise ValueError(
            f"{counts[0]} control branches, {counts[1]} channel counts, {counts[2]} names and "
            f"{counts[3]} strengths: expected as many of each"
        )
    if len(set(condition_keys)) < len(condition_keys):
        raise ValueError(f"two control branches of one name among {', '.join(condition_keys)}")


class MultiConditionControlNet(nn.Module):
    """Several control branches in the place of a model's one.

    Args:
        modules: one `ControlNet` for each condition.
        channel_splits: hint channels of each.
        condition_keys: a name for each.
        per_condition_scales: factor of each branch's residuals, by name or in order; a branch at 0
            is not computed. All are 1 when not given.
    Raises:
        ValueError: the lists differ in length, a name comes twice, or scales are given for other
            names.
    """

    def __init__(self, modules, channel_splits, condition_keys, per_condition_scales=None):
        super().__init__()
        condition_keys = list(condition_keys)
        if per_condition_scales is None:
            per_condition_scales = [1.0] * len(condition_keys)
        if isinstance(per_condition_scales, dict):
            if set(per_condition_scales) != set(condition_keys):
                raise ValueError(
                    f"strengths for {sorted(per_condition_scales)}, "
                    f"but the conditions are {sorted(condition_keys)}"
                )
            per_condition_scales = [per_condition_scales[key] for key in condition_keys]
        _check_lists(modules, channel_splits, condition_keys, per_condition_scales)
        self.branches = nn.ModuleList(modules)
        self.channel_splits = list(channel_splits)
        self.condition_keys = condition_keys
        self.per_condition_scales = list(per_condition_scales)

    def get_condition_scale(self, condition_key):
        """Factor of a branch's residuals, by the name of its condition.

        Raises:
            ValueError: no branch of this name.
        """
        if condition_key not in self.condition_keys:
            raise ValueError(
                f"no control branch {condition_key!r}, expected {', '.join(self.condition_keys)}"
            )
        return self.per_condition_scales[self.condition_keys.index(condition_key)]

    def get_condition_scales(self):
        """Factors of all branches' residuals, by the name of their condition."""
        return dict(zip(self.condition_keys, self.per_condition_scales, strict=True))

    def set_condition_scale(self, key, value):
        """Change the factor of one branch; raises as `set_condition_scales`."""
        self.set_condition_scales({key: value})

    def set_condition_scales(self, per_condition_scales):
        """Change the factors of the branches' residuals.

        Args:
            per_condition_scales: all of them in order; or some by name, and the others stay.
        Raises:
            ValueError: a name that no branch has, or another number of factors than of branches.
        """
        if isinstance(per_condition_scales, dict):
            for key in per_condition_scales:
                self.get_condition_scale(key)  # checks the name before anything changes
            own = zip(self.condition_keys, self.per_condition_scales, strict=True)
            scales = [per_condition_scales.get(key, scale) for key, scale in own]
        else:
            scales = list(per_condition_scales)
        if len(scales) != len(self.branches):
            raise ValueError(
                f"{len(scales)} strengths for {len(self.branches)} control branches, expected one "
                "for each"
            )
        self.per_condition_scales = scales

    def _hint_per_branch(self, hint):
        """List of hints as it is; one concatenated hint, which notebooks pass, is split."""
        if isinstance(hint, list) and len(hint) == len(self.branches):
            return hint
        hint = torch.cat(hint, dim=1) if isinstance(hint, list) else hint  # (N, sum of C, H, W)
        return hint.split(self.channel_splits, dim=1)

    def encode_hints(self, hints):
        """Features of the branches in use, each (N, model_channels, H/8, W/8).

        Args:
            hints: one per branch, each (N, C, H, W); or one that holds them side by side.
        """
        return [
            branch.encode_hint(hint)
            for branch, hint, scale in zip(
                self.branches, self._hint_per_branch(hints), self.per_condition_scales, strict=True
            )
            if scale  # a branch without strength costs no time
        ]

    def forward(self, x, hint, timesteps, context, guided_hint=None):
        """Sum of the branches' residuals, each times its strength.

        Args:
            x, timesteps, context: as in `ControlNet.forward`.
            hint: as `hints` of `encode_hints`; not read when `guided_hint` is given.
            guided_hint: what `encode_hints` gave for them.
        Returns:
            As `ControlNet.forward`; with every strength at 0, zeros that broadcast to any shape.
        """
        active = [
            (branch, scale)
            for branch, scale in zip(self.branches, self.per_condition_scales, strict=True)
            if scale
        ]
        if not active:
            # These zeros add to skips of any size, so no branch need be computed for the sizes.
            zeros = x.new_zeros(1, 1, 1, 1)
            return [zeros] * (len(self.branches[0].zero_convs) + 1)
        if guided_hint is None:
            guided_hint = self.encode_hints(hint)  # list of (N, model_channels, H/8, W/8)
        total = None  # added up branch by branch: the residuals of all at once need more memory
        for (branch, scale), features in zip(active, guided_hint, strict=True):
            # The hint is not read again, its features are there.
            residuals = branch(x, None, timesteps, context, features)  # list of (N, c_i, h_i, w_i)
            residuals = [scale * residual for residual in residuals]  # sizes stay
            if total is None:
                total = residuals
            else:
                total = [a + b for a, b in zip(total, residuals, strict=True)]  # sizes stay
        return total  # 13 for SD 1.5: (N, c, h, w) with the sizes of the U-Net's skips
