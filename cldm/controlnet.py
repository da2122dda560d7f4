"""ControlNet on latent diffusion (Zhang et al. 2023).

A trainable copy of the U-Net's encoder steers the locked U-Net.
"""

import torch
from torch import nn

from ldm.models.diffusion.latent_diffusion import LatentDiffusionModel
from ldm.modules.diffusionmodules.openaimodel import TimestepEmbedSequential, UNetEncoder, UNetModel
from ldm.modules.diffusionmodules.util import zero_module
from ldm.util import instantiate_from_config

# Widths of the hint encoder. The convolutions at index 2, 4 and 6 halve the size.
# Differs from the paper: Sec. 3.2 of Zhang et al. (2023) names four convolutions of 16 to 128
# channels, with 4x4 kernels and ReLU. The published weights have these eight, of 3x3 and with SiLU.
HINT_ENCODER_WIDTHS = (16, 16, 32, 32, 96, 96, 256)
HINT_FACTOR = 8  # hint pixels per latent pixel
NUM_CONTROLS = 13  # residuals of SD 1.x and 2.x: 12 encoder blocks and the middle block


def side_by_side(parts):
    """A tensor as it is, a list of tensors (N, c, H, W) as one (N, sum of c, H, W)."""
    if not isinstance(parts, list):
        return parts
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)


def scale_residuals(residuals, scales):
    """Residuals times their scales (Zhang et al. 2023, Sec. 3.4), both from shallow to deep.

    Scripts written for Stable Diffusion set 13 scales. A smaller network takes the last of them, so
    that the deepest residual keeps the scale that is meant for it.

    Raises:
        ValueError: another number of scales than of residuals, and not 13.
    """
    if len(scales) != len(residuals) and len(scales) != NUM_CONTROLS:
        raise ValueError(
            f"{len(scales)} control scales for {len(residuals)} residuals, expected as many, or "
            f"{NUM_CONTROLS}, of which the last {len(residuals)} count"
        )
    scales = scales[-len(residuals) :]
    return [residual * scale for residual, scale in zip(residuals, scales, strict=True)]


class ControlledUnetModel(UNetModel):
    """The U-Net, with the control branch's residuals added to its skips and its middle block."""

    def forward(self, x, timesteps, context, control=None, only_mid_control=False):
        """Prediction for `x`, (N, C, h, w); (k N, C, h, w) for k texts to each latent.

        Args:
            x, timesteps, context: latents (N, C, h, w); (N,) or (1,) for all; text embedding
                (N, 77, context_dim), or (k N, ...) in the order of `rows_for`.
            control: residuals from shallow to deep, the middle block's last; None for the plain
                U-Net. The list is not changed: the published code empties it.
            only_mid_control: add the middle block's residual alone.
        """
        emb = self.embed_timesteps(timesteps)  # (N, 4 * model_channels)
        h, skips = self.encode(x, emb, context)  # (N, c, h/8, w/8), list of (N, c_i, h_i, w_i)
        if control is not None:
            h = h + control[-1]  # (N, c, h/8, w/8)
            if not only_mid_control:
                skips = [
                    skip + residual for skip, residual in zip(skips, control[:-1], strict=True)
                ]  # (N, c_i, h_i, w_i) each
        return self.decode(h, skips, emb, context)  # (N, C, h, w)


class ControlNet(UNetEncoder):
    """The control branch (Zhang et al. 2023, Fig. 3).

    The U-Net's encoder, with a hint encoder in front and a zero convolution behind every block.

    Args:
        hint_channels: channels of the condition image: 3 for an RGB-like mask or edges, one per
            class for label maps, 4 for RGBA.
        encoder: the sizes of `UNetEncoder`; they must be those of the U-Net.
    """

    def __init__(self, hint_channels, **encoder):
        super().__init__(**encoder)
        self.hint_channels = hint_channels
        # Zero convolutions (Zhang et al. 2023, Eq. 2): a fresh branch changes nothing, so the first
        # steps of a training start from the pictures of the locked U-Net.
        self.zero_convs = nn.ModuleList(self.make_zero_conv(c) for c in self.block_channels)
        layers, channels = [], hint_channels
        for i, width in enumerate(HINT_ENCODER_WIDTHS):
            layers += [
                nn.Conv2d(channels, width, 3, padding=1, stride=2 if i in (2, 4, 6) else 1),
                nn.SiLU(),
            ]
            channels = width
        self.input_hint_block = TimestepEmbedSequential(
            *layers, zero_module(nn.Conv2d(channels, self.model_channels, 3, padding=1))
        )
        self.middle_block_out = self.make_zero_conv(self.block_channels[-1])

    @staticmethod
    def make_zero_conv(channels):
        """A 1x1 convolution that starts at zero (Zhang et al. 2023, Sec. 3.1)."""
        return TimestepEmbedSequential(zero_module(nn.Conv2d(channels, channels, 1)))

    def encode_hint(self, hint):
        """Hint (N, hint_channels, H, W) -> features (N, model_channels, H/8, W/8).

        They are the same at every timestep.
        """
        return self.input_hint_block(hint, None)  # (N, model_channels, H/8, W/8)

    def encode_hints(self, hints):
        """Features of a list of hints, as a list of one: parts of the hint go side by side."""
        return [self.encode_hint(side_by_side(hints))]

    def forward(self, x, hint, timesteps, context, guided_hint=None):
        """Residuals that steer the locked U-Net towards `hint` (Zhang et al. 2023, Fig. 3).

        Args:
            x: noisy latents, (N, C, H/8, W/8).
            hint: condition image, (N, hint_channels, H, W), float in [0, 1], or a list of parts of
                it; not read when `guided_hint` is given.
            timesteps, context: (N,) int64 in [0, T), or (1,) for all; text embedding, (N, 77,
                context_dim), or (k N, ...) as in `ControlledUnetModel.forward`.
            guided_hint: what `encode_hint` or `encode_hints` gave for `hint`.
        Returns:
            One residual per input block from shallow to deep, the middle block's last (13 for
            SD 1.5); all zero at initialisation.
        Raises:
            ValueError: `hint` is not eight times the size of `x`.
        """
        if guided_hint is None:
            hint = side_by_side(hint)  # (N, hint_channels, H, W)
            if hint.shape[2:] != (HINT_FACTOR * x.shape[2], HINT_FACTOR * x.shape[3]):
                raise ValueError(
                    f"hint of size {tuple(hint.shape[2:])} for latents of {tuple(x.shape[2:])}: "
                    f"expected {HINT_FACTOR} times theirs"
                )
            guided_hint = self.encode_hint(hint)  # (N, model_channels, h, w)
        guided_hint = side_by_side(guided_hint)  # (N, model_channels, h, w)
        emb = self.embed_timesteps(timesteps)  # (N, 4 * model_channels)
        h, residuals = x, []  # (N, C, h, w)
        for i, (block, zero_conv) in enumerate(
            zip(self.input_blocks, self.zero_convs, strict=True)
        ):
            h = block(h, emb, context)  # (N, block_channels[i], h / 2^level, w / 2^level)
            if i == 0:  # the hint enters behind the first convolution, where sizes are the latents'
                h = h + guided_hint  # (N, model_channels, h, w)
            residuals.append(zero_conv(h, emb, context))  # like h
        h = self.middle_block(h, emb, context)  # (N, block_channels[-1], h/8, w/8)
        residuals.append(self.middle_block_out(h, emb, context))  # like h
        return residuals


class ControlledDiffusionModel(LatentDiffusionModel):
    """Latent diffusion with a control branch.

    Args:
        control_stage_config: `target` and `params` of the control branch.
        control_key: name of the condition image in a batch.
        only_mid_control: use the middle block's residual alone.
        sd_locked: keep the U-Net's decoder frozen in training.
        global_average_pooling: replace each residual by its mean over the map, so that the hint
            says what is in the picture and not where (the published "shuffle" branch).
        latent_diffusion: the arguments of `LatentDiffusionModel`.
    Raises:
        ValueError: as `LatentDiffusionModel`, or a trainable text encoder is asked for.

    Attributes:
        control_scales: strength of each residual, shallow to deep.
    """

    def __init__(
        self,
        control_stage_config,
        control_key="hint",
        only_mid_control=False,
        sd_locked=True,
        global_average_pooling=False,
        **latent_diffusion,
    ):
        super().__init__(**latent_diffusion)
        if self.cond_stage_trainable:  # its gradient would have to pass a locked U-Net
            raise ValueError(
                "model configuration: a control branch is trained with a frozen text encoder; "
                "expected cond_stage_trainable: false"
            )
        self.control_model = instantiate_from_config(control_stage_config)
        self.control_key = control_key
        self.only_mid_control = only_mid_control
        # One more than zero convolutions: the middle block has its own, `middle_block_out`.
        self.control_scales = [1.0] * (len(self.control_model.zero_convs) + 1)
        self.sd_locked = sd_locked
        self.global_average_pooling = global_average_pooling

    def encode_hints(self, cond):
        """`cond` with its hints encoded as `guided_hint`, a list of features.

        For loops that show the same hints to the network at many timesteps.
        """
        if cond["c_concat"] is None:  # no control
            return cond
        return {**cond, "guided_hint": self.control_model.encode_hints(cond["c_concat"])}

    def apply_model(self, x_noisy, t, cond, control_scales=None):
        """The steered U-Net's prediction, shape of `x_noisy`; k times its rows for k texts.

        Args:
            x_noisy, t: latents (N, C, h, w); (N,) int64 in [0, T), or (1,) for all.
            cond: `c_crossattn`: [context]; `c_concat`: a list of hints, one per branch, or None
                for no control; `guided_hint`: from `encode_hints`, optional.
            control_scales: strength of each residual, shallow to deep, or 13 for any network (see
                `scale_residuals`); the attribute's when not given.
        """
        context = torch.cat(cond["c_crossattn"], dim=1)  # (N, 77, context_dim)
        if cond["c_concat"] is None:
            return self.model.diffusion_model(x_noisy, t, context)  # (N, C, h, w)
        control = self.control_model(
            x=x_noisy,
            hint=cond["c_concat"],
            timesteps=t,
            context=context,
            guided_hint=cond.get("guided_hint"),
        )  # list of (N, c_i, h_i, w_i)
        scales = self.control_scales if control_scales is None else control_scales
        control = scale_residuals(control, scales)  # list of (N, c_i, h_i, w_i)
        if self.global_average_pooling:
            # (N, c, 1, 1): added to the skips, it broadcasts over the map.
            control = [residual.mean(dim=(2, 3), keepdim=True) for residual in control]
        return self.model.diffusion_model(
            x_noisy, t, context, control=control, only_mid_control=self.only_mid_control
        )  # (N, C, h, w)

    def trainable_parameters(self):
        """Parameters of the control branch, and of the U-Net's decoder where it is not locked."""
        control = self.control_model
        # Without the zero convolutions whose residuals `only_mid_control` throws away: they get no
        # gradient, which distributed training takes for an error.
        unused = set(control.zero_convs.parameters()) if self.only_mid_control else set()
        parameters = [parameter for parameter in control.parameters() if parameter not in unused]
        if not self.sd_locked:
            unet = self.model.diffusion_model
            parameters += [*unet.output_blocks.parameters(), *unet.out.parameters()]
        return parameters

    def low_vram_shift(self, is_diffusing):
        """Keep on the GPU only what the coming phase needs.

        Args:
            is_diffusing: U-Net and control branch are needed; otherwise autoencoder and text
                encoder.
        """
        device = self.device
        for part in (self.model, self.control_model):
            part.to(device if is_diffusing else "cpu")
        for part in (self.first_stage_model, self.cond_stage_model):
            part.to("cpu" if is_diffusing else device)
