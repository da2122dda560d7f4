"""Convolutional pose machines for bodies (Cao et al. 2017) and hands (Simon et al. 2017).

Layers have the names of the published files.
"""

import torch
from torch import nn
from torch.nn import functional as F

NUM_HEATMAPS = 19  # 18 joints and the background
NUM_FIELDS = 38  # part affinity fields: x and y of 19 limbs
NUM_HAND_MAPS = 22  # 21 joints and the background
STAGES = range(2, 7)  # those that refine the first one's maps
POOL_AFTER = ("conv1_2", "conv2_2", "conv3_4")
# Channels of the convolutions; the first ones are those of VGG-19 (Simonyan & Zisserman 2015).
VGG = {
    "conv1_1": 64, "conv1_2": 64, "conv2_1": 128, "conv2_2": 128,
    "conv3_1": 256, "conv3_2": 256, "conv3_3": 256, "conv3_4": 256, "conv4_1": 512, "conv4_2": 512,
}  # fmt: skip
BODY_TRUNK = {**VGG, "conv4_3_CPM": 256, "conv4_4_CPM": 128}
HAND_TRUNK = {
    **VGG, "conv4_3": 512, "conv4_4": 512, "conv5_1": 512, "conv5_2": 512, "conv5_3_CPM": 128,
}  # fmt: skip


class PoseMachine(nn.Module):
    """Convolutions with bias that keep the size, each an attribute of its published name."""

    def add_convs(self, in_channels: int, layers: dict[str, tuple[int, int]]) -> tuple[str, ...]:
        """Append a chain of convolutions; returns their names.

        Args:
            layers: channels and kernel size by name.
        """
        for name, (channels, kernel_size) in layers.items():
            self.add_module(
                name, nn.Conv2d(in_channels, channels, kernel_size, padding=kernel_size // 2)
            )
            in_channels = channels
        return tuple(layers)

    def add_trunk(self, layers: dict[str, int]) -> tuple[str, ...]:
        """Append the 3 x 3 convolutions that see the picture; returns their names."""
        return self.add_convs(3, {name: (channels, 3) for name, channels in layers.items()})

    def add_stage(self, in_channels: int, suffix: str, out_channels: int) -> tuple[str, ...]:
        """Append a stage that refines maps: five 7 x 7 convolutions and two 1 x 1."""
        layers = {f"Mconv{i}_{suffix}": (128, 7) for i in range(1, 6)}
        layers |= {f"Mconv6_{suffix}": (128, 1), f"Mconv7_{suffix}": (out_channels, 1)}
        return self.add_convs(in_channels, layers)

    def run(self, names: tuple[str, ...], x, relu_last: bool = False):
        """The output of a chain for (N, C, h, w); poolings halve the size.

        Args:
            names: as `add_convs` returns them.
            relu_last: put a ReLU after the last convolution too.
        """
        for name in names:
            x = self.get_submodule(name)(x)  # (N, C of this layer, h, w)
            # Maps may be negative, so their last convolution has no ReLU.
            if relu_last or name != names[-1]:
                x = F.relu(x)
            if name in POOL_AFTER:
                x = F.max_pool2d(x, 2)  # (N, C, h / 2, w / 2)
        return x


class BodyNetwork(PoseMachine):
    """Part affinity fields and joint heat maps of all people.

    The names are those of `body_pose_model.pth`.
    """

    def __init__(self):
        super().__init__()
        self.trunk = self.add_trunk(BODY_TRUNK)
        self.branches = {"L1": [], "L2": []}
        for branch, channels in (("L1", NUM_FIELDS), ("L2", NUM_HEATMAPS)):
            first = {f"conv5_{i}_CPM_{branch}": (128, 3) for i in range(1, 4)}
            first |= {f"conv5_4_CPM_{branch}": (512, 1), f"conv5_5_CPM_{branch}": (channels, 1)}
            self.branches[branch].append(self.add_convs(128, first))
            for stage in STAGES:
                self.branches[branch].append(
                    self.add_stage(
                        128 + NUM_FIELDS + NUM_HEATMAPS, f"stage{stage}_{branch}", channels
                    )
                )

    def forward(self, x):
        """Fields (N, 38, H / 8, W / 8) and heat maps (N, 19, H / 8, W / 8).

        The published model ends the heat maps, and only them, with a ReLU.

        Args:
            x: BGR in [-0.5, 0.5], (N, 3, H, W); H and W are multiples of 8.
        """
        features = x = self.run(self.trunk, x, relu_last=True)  # (N, 128, H / 8, W / 8)
        stages = list(zip(*self.branches.values(), strict=True))
        # Each stage sees the picture's features and what the one before made of them (Eq. 1, 2).
        for field_names, heat_names in stages:
            fields = self.run(field_names, x)  # (N, 38, H / 8, W / 8)
            is_last = heat_names is stages[-1][1]
            heat = self.run(heat_names, x, relu_last=is_last)  # (N, 19, H / 8, W / 8)
            x = torch.cat([fields, heat, features], dim=1)  # (N, 185, H / 8, W / 8)
        return fields, heat  # (N, 38, H / 8, W / 8), (N, 19, H / 8, W / 8)


class HandNetwork(PoseMachine):
    """Joint heat maps of one hand; the names are those of `hand_pose_model.pth`."""

    def __init__(self):
        super().__init__()
        self.trunk = self.add_trunk(HAND_TRUNK)
        self.stages = [
            self.add_convs(128, {"conv6_1_CPM": (512, 1), "conv6_2_CPM": (NUM_HAND_MAPS, 1)})
        ]
        self.stages += [
            self.add_stage(128 + NUM_HAND_MAPS, f"stage{stage}", NUM_HAND_MAPS) for stage in STAGES
        ]

    def forward(self, x):
        """Heat maps (N, 22, H / 8, W / 8).

        Args:
            x: BGR in [-0.5, 0.5], (N, 3, H, W); H and W are multiples of 8.
        """
        features = x = self.run(self.trunk, x, relu_last=True)  # (N, 128, H / 8, W / 8)
        for names in self.stages:
            # As for bodies: features, and the maps of the stage before.
            heat = self.run(names, x)  # (N, 22, H / 8, W / 8)
            x = torch.cat([heat, features], dim=1)  # (N, 150, H / 8, W / 8)
        return heat  # (N, 22, H / 8, W / 8)
