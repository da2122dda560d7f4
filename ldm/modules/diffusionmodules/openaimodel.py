"""The U-Net of Stable Diffusion, in the names of its published weights.

Dhariwal & Nichol 2021; Rombach et al. 2022, Sec. 3.3.
"""

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from ldm.modules.attention import SpatialTransformer
from ldm.modules.diffusionmodules.util import (
    Upsample,
    group_norm,
    rows_for,
    timestep_embedding,
    zero_module,
)


class TimestepEmbedSequential(nn.Sequential):
    """A sequence that hands the timestep embedding and the text to the layers that read them."""

    def forward(self, x, emb, context=None):
        """Features (N, c, h, w) -> features (N, c', h', w').

        Args:
            emb: timestep embedding, (N, emb_channels).
            context: text embedding, (N, 77, context_dim); None where no layer reads it.
        """
        for layer in self:
            if isinstance(layer, ResBlock):
                x = layer(x, emb)  # (N, c', h, w)
            elif isinstance(layer, SpatialTransformer):
                x = layer(x, context)  # (N, c', h, w)
            else:
                x = layer(x)  # (N, c', h', w')
        return x


class Downsample(nn.Module):
    """Half the size by a strided convolution."""

    def __init__(self, channels):
        super().__init__()
        # Symmetric padding, unlike the autoencoder's `Downsample`: the published weights differ.
        self.op = nn.Conv2d(channels, channels, 3, stride=2, padding=1)

    def forward(self, x):
        """(N, C, H, W) -> (N, C, H/2, W/2)."""
        return self.op(x)  # (N, C, H/2, W/2)


class ResBlock(nn.Module):
    """Two convolutions with a residual; the timestep embedding is added between them.

    Args:
        channels, out_channels: of input and output.
        emb_channels: width of the timestep embedding.
        use_checkpoint: compute the block again in the backward pass instead of keeping its
            activations: less memory, more time.
    """

    def __init__(self, channels, emb_channels, out_channels, dropout=0.0, use_checkpoint=False):
        super().__init__()
        self.in_layers = nn.Sequential(
            group_norm(channels), nn.SiLU(), nn.Conv2d(channels, out_channels, 3, padding=1)
        )
        # `time_embed` ends in a linear layer, so the SiLU comes first here.
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(emb_channels, out_channels))
        self.out_layers = nn.Sequential(
            group_norm(out_channels),
            nn.SiLU(),
            nn.Dropout(dropout),
            # A fresh block is its skip connection (Dhariwal & Nichol 2021 start so).
            zero_module(nn.Conv2d(out_channels, out_channels, 3, padding=1)),
        )
        self.skip_connection = (
            nn.Identity() if out_channels == channels else nn.Conv2d(channels, out_channels, 1)
        )
        self.use_checkpoint = use_checkpoint

    def forward(self, x, emb):
        """(N, channels, h, w) and (N, emb_channels) -> (N, out_channels, h, w)."""
        if self.use_checkpoint and self.training:
            # The reentrant kind gives no gradients at all where no input of the block needs one.
            return checkpoint(self._forward, x, emb, use_reentrant=False)  # (N, out_channels, h, w)
        return self._forward(x, emb)  # (N, out_channels, h, w)

    def _forward(self, x, emb):
        h = self.in_layers(x)  # (N, out_channels, h, w)
        h = h + self.emb_layers(emb)[:, :, None, None]  # (N, out_channels, 1, 1) broadcasts
        return self.skip_connection(x) + self.out_layers(h)  # (N, out_channels, h, w)


class UNetEncoder(nn.Module):
    """The half that the U-Net and the control branch have in common.

    It holds the time embedding, the input blocks and the middle block.

    Args:
        in_channels: of the latents.
        model_channels: channels of the first level; level i has `channel_mult[i]` times as many.
        num_res_blocks: residual blocks per level.
        attention_resolutions: downsampling factors (1, 2, 4, ...) at which a transformer follows
            each residual block.
        num_heads, num_head_channels: one of them; SD 1.x fixes the number of heads, SD 2.x their
            width.
        transformer_depth, context_dim: blocks per transformer; width of the text embedding.
        use_checkpoint: see `ResBlock`.
        use_linear_in_transformer: see `SpatialTransformer`.
        image_size, legacy: stand in published configurations and change nothing here. The network
            takes any size, and `legacy` only concerns attention without text.
        use_fp16: always false; stands in published configurations.
    Raises:
        ValueError: the configuration asks for attention without text, which no model of this family
            has, or for half precision, which is the trainer's choice.

    Attributes:
        block_channels: output channels of each input block.
    """

    def __init__(
        self,
        in_channels,
        model_channels,
        num_res_blocks,
        attention_resolutions,
        channel_mult=(1, 2, 4, 8),
        num_heads=-1,
        num_head_channels=-1,
        transformer_depth=1,
        context_dim=None,
        dropout=0.0,
        use_checkpoint=False,
        use_spatial_transformer=True,
        use_linear_in_transformer=False,
        image_size=None,
        legacy=False,
        use_fp16=False,
    ):
        super().__init__()
        if use_fp16:
            raise ValueError(
                "use_fp16: true is not supported. Set it to false, and choose the precision where "
                "the model runs: the Trainer's `precision`, or torch.autocast"
            )
        if not use_spatial_transformer or context_dim is None:
            raise ValueError(
                "the U-Net reads a text: give use_spatial_transformer: true and a context_dim"
            )
        # -1 stands for "not given" in the published configurations.
        if (num_heads == -1) == (num_head_channels == -1):
            raise ValueError("give either num_heads or num_head_channels to the U-Net")
        self.model_channels = model_channels
        self.num_res_blocks = num_res_blocks
        self.attention_resolutions = tuple(attention_resolutions)
        self.channel_mult = tuple(channel_mult)
        self.num_heads, self.num_head_channels = num_heads, num_head_channels
        self.dropout, self.use_checkpoint = dropout, use_checkpoint
        self.transformer_options = {
            "depth": transformer_depth,
            "context_dim": context_dim,
            "use_linear": use_linear_in_transformer,
            "dropout": dropout,
            "use_checkpoint": use_checkpoint,
        }
        emb_channels = 4 * model_channels
        self.time_embed = nn.Sequential(
            nn.Linear(model_channels, emb_channels),
            nn.SiLU(),
            nn.Linear(emb_channels, emb_channels),
        )
        # Parts are built in this order: it decides which random numbers initialise which weights.
        self.input_blocks, self.block_channels = self._build_input_blocks(in_channels)
        channels = self.block_channels[-1]
        self.middle_block = TimestepEmbedSequential(
            self._res_block(channels, channels),
            self._transformer(channels),
            self._res_block(channels, channels),
        )

    def _build_input_blocks(self, in_channels):
        """The encoder's blocks from shallow to deep, and the output channels of each.

        A convolution comes first. Every level has `num_res_blocks` stages, and a downsampling block
        stands between two levels: 12 blocks for the four levels of SD 1.5.
        """
        first = nn.Conv2d(in_channels, self.model_channels, 3, padding=1)
        blocks, block_channels = [TimestepEmbedSequential(first)], [self.model_channels]
        channels = self.model_channels
        for level, mult in enumerate(self.channel_mult):
            for _ in range(self.num_res_blocks):
                blocks.append(TimestepEmbedSequential(*self._stage(level, channels)))
                channels = mult * self.model_channels
                block_channels.append(channels)
            if level != len(self.channel_mult) - 1:
                # A block of its own: its output is a skip too, and the decoder counts on it.
                blocks.append(TimestepEmbedSequential(Downsample(channels)))
                block_channels.append(channels)
        return nn.ModuleList(blocks), block_channels

    def _res_block(self, channels, out_channels):
        return ResBlock(
            channels, 4 * self.model_channels, out_channels, self.dropout, self.use_checkpoint
        )

    def _transformer(self, channels):
        # SD 1.x: 8 heads at every width. SD 2.x: heads of 64 channels, so their number varies.
        heads = self.num_heads if self.num_heads != -1 else channels // self.num_head_channels
        return SpatialTransformer(channels, heads, channels // heads, **self.transformer_options)

    def _stage(self, level, channels):
        """A residual block to the width of `level`, and a transformer where the level has one."""
        out_channels = self.channel_mult[level] * self.model_channels
        layers = [self._res_block(channels, out_channels)]
        if 2**level in self.attention_resolutions:  # 2**level pixels of x per pixel here
            layers.append(self._transformer(out_channels))
        return layers

    def embed_timesteps(self, timesteps):
        """(N,) timesteps, or one for all rows -> (N, 4 * model_channels), or one row."""
        embedding = timestep_embedding(timesteps, self.model_channels)  # (N, model_channels)
        # The embedding is computed in float32 also where the weights have half precision.
        return self.time_embed(embedding.to(self.time_embed[0].weight.dtype))


class UNetModel(UNetEncoder):
    """Noise predictor.

    Args:
        out_channels: of the prediction, those of the latents.
        encoder: arguments of `UNetEncoder`.
    """

    def __init__(self, out_channels, **encoder):
        super().__init__(**encoder)
        skip_channels = list(self.block_channels)  # a stack: the deepest skip is taken first
        channels = skip_channels[-1]
        self.output_blocks = nn.ModuleList()
        for level, mult in reversed(list(enumerate(self.channel_mult))):
            # One stage more than in the encoder. It takes the skip of the downsampling block that
            # leads to this level, or on level 0 that of the first convolution.
            for i in range(self.num_res_blocks + 1):
                layers = self._stage(level, channels + skip_channels.pop())
                channels = mult * self.model_channels
                if level and i == self.num_res_blocks:  # in the same block: no skip follows
                    layers.append(Upsample(channels))
                self.output_blocks.append(TimestepEmbedSequential(*layers))
        self.out = nn.Sequential(
            group_norm(channels),
            nn.SiLU(),
            zero_module(nn.Conv2d(channels, out_channels, 3, padding=1)),
        )

    def encode(self, x, emb, context):
        """Middle block's output and the input blocks' outputs, shallow first.

        Args:
            x, emb, context: latents (N, in_channels, h, w); what `embed_timesteps` gave; text
                (N, 77, context_dim), or (k N, ...) for k predictions from each latent, as
                `rows_for` has it. Outputs in front of the first transformer then have N rows.
        """
        h, skips = x, []  # (N, in_channels, h, w)
        for block in self.input_blocks:
            h = block(h, emb, context)  # (N, block_channels[i], h / 2^level, w / 2^level)
            skips.append(h)  # read by `decode`, the deepest first
        # f = 2 ** (levels - 1), 8 for the four levels of SD 1.5
        h = self.middle_block(h, emb, context)  # (N, block_channels[-1], h / f, w / f)
        return h, skips

    def decode(self, h, skips, emb, context):
        """Prediction (N, out_channels, h, w) from what `encode` gave."""
        for block, skip in zip(self.output_blocks, reversed(skips), strict=True):
            h = torch.cat([h, rows_for(skip, h)], dim=1)  # (N, c + c_skip, h', w')
            h = block(h, emb, context)  # (N, c', h', w'), twice the size at the end of a level
        return self.out(h)  # (N, out_channels, h, w)

    def forward(self, x, timesteps, context):
        """Prediction, (N, out_channels, h, w).

        Args:
            x, timesteps, context: latents (N, in_channels, h, w); (N,); text (N, 77, context_dim).
        """
        emb = self.embed_timesteps(timesteps)  # (N, 4 * model_channels)
        h, skips = self.encode(x, emb, context)  # (N, c, h / f, w / f) and a list
        return self.decode(h, skips, emb, context)  # (N, out_channels, h, w)
