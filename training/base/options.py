"""Options of the two stages of a pre-training."""

from dataclasses import dataclass

from core.command_line.options import (
    fraction,
    non_negative_float,
    non_negative_int,
    option,
    positive_float,
    positive_int,
)

TRAINABLE = ("all", "decoder")


@dataclass(frozen=True)
class AutoencoderOptions:
    """Options of the first stage."""

    steps: int = option(
        4000, non_negative_int, "INT", "autoencoder steps; 0 keeps it as --init has it"
    )
    batch_size: int = option(16, positive_int, "INT", "images per autoencoder step")
    learning_rate: float = option(
        1e-3, positive_float, "FLOAT", "peak learning rate of the autoencoder"
    )
    image_size: int = option(
        64,
        positive_int,
        "PIXELS",
        "side of the autoencoder's views; small ones are enough and faster",
    )
    kl_weight: float = option(1e-3, non_negative_float, "FLOAT", "weight of the KL term")
    edge_weight: float = option(
        0.5, non_negative_float, "FLOAT", "weight of the error of image gradients"
    )
    train: str = option(
        "all",
        None,
        None,
        "decoder: keep the encoder, and so every latent and every U-Net trained on them",
        choices=TRAINABLE,
    )
    adversarial_weight: float = option(
        0.0,
        non_negative_float,
        "FLOAT",
        "weight of a discriminator, which makes the decoder draw grain; try 0.5 with the trained "
        "autoencoder of --init",
    )


@dataclass(frozen=True)
class UNetOptions:
    """Options of the second stage."""

    steps: int = option(6000, non_negative_int, "INT", "U-Net steps; 0 keeps it as --init has it")
    batch_size: int = option(32, positive_int, "INT", "latents per U-Net step")
    learning_rate: float = option(4e-4, positive_float, "FLOAT", "peak learning rate of the U-Net")
    image_size: int = option(128, positive_int, "PIXELS", "side of the views")
    ema_decay: float = option(
        0.999, fraction, "FLOAT", "decay of the averaged U-Net weights, which are what is saved"
    )
    views_per_image: int = option(
        4, positive_int, "INT", "random views of each image encoded for the U-Net"
    )
    prompt_drop: float = option(0.1, fraction, "P", "share of samples that see the empty prompt")
