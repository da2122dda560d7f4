"""Prefixes of weight names in published checkpoints, one for each part."""

from core.weights.foreign_layouts import CONTROL as CONTROL

UNET = "model.diffusion_model."
AUTOENCODER = "first_stage_model."
TEXT_ENCODER = "cond_stage_model."
EMA = "model_ema."  # averaged copies of the U-Net's weights
