"""Several control branches at once: their residuals, each times its branch's strength, add up (Zhang et al. 2023, Sec. 3.4)."""

import torch
from torch import nn


class MultiConditionControlNet(nn.Module):
    """Takes the place of a model's one control branch.

    Args:
        modules: one `ControlNet` for each condition.
        channel_splits: hint channels of each; the hint holds them side by side in this order.
        condition_keys: a name for each.
        per_condition_scales: factor of each branch's residuals, by name or in order; a branch at 0 is not computed.
    Raises:
        ValueError: the lists differ in length, a name comes twice, or scales are given for other names.
    """

    def __init__(self, modules, channel_splits, condition_keys, per_condition_scales):
        super().__init__()
        condition_keys = list(condition_keys)
        if isinstance(per_condition_scales, dict):
            if set(per_condition_scales) != set(condition_keys):
                raise ValueError(
                    f"strengths for {sorted(per_condition_scales)}, but the conditions are {sorted(condition_keys)}"
                )
            per_condition_scales = [per_condition_scales[key] for key in condition_keys]
        counts = [len(modules), len(channel_splits), len(condition_keys), len(per_condition_scales)]
        if len(set(counts)) > 1 or not modules:
            raise ValueError(
                f"{counts[0]} control branches, {counts[1]} channel counts, {counts[2]} names and {counts[3]} strengths: expected as many of each"
            )
        if len(set(condition_keys)) < len(condition_keys):
            raise ValueError(f"two control branches of one name among {', '.join(condition_keys)}")
        self.branches = nn.ModuleList(modules)
        self.channel_splits = list(channel_splits)
        self.condition_keys = condition_keys
        self.per_condition_scales = list(per_condition_scales)

    def _active(self):
        return [
            (branch, scale)
            for branch, scale in zip(self.branches, self.per_condition_scales, strict=True)
            if scale
        ]

    def encode_hint(self, hint):
        """Hints side by side (N, sum of `channel_splits`, H, W) -> features of the branches in use side by side (N, k * model_channels, H/8, W/8)."""
        hints = hint.split(self.channel_splits, dim=1)
        features = [
            branch.encode_hint(part)
            for branch, part, scale in zip(
                self.branches, hints, self.per_condition_scales, strict=True
            )
            if scale
        ]
        return torch.cat(features, dim=1) if features else hint[:, :0]

    def forward(self, x, hint, timesteps, context, guided_hint=None):
        """Sum of the branches' residuals, each times its strength; arguments as those of `ControlNet.forward`.

        With every strength at 0, zeros that broadcast to any shape.
        """
        active = self._active()
        if not active:
            return [x.new_zeros(())] * (len(self.branches[0].zero_convs) + 1)
        if guided_hint is None:
            guided_hint = self.encode_hint(hint)
        total = None
        for (branch, scale), features in zip(
            active, guided_hint.chunk(len(active), dim=1), strict=True
        ):
            residuals = [
                scale * residual for residual in branch(x, None, timesteps, context, features)
            ]
            total = (
                residuals
                if total is None
                else [a + b for a, b in zip(total, residuals, strict=True)]
            )
        return total
