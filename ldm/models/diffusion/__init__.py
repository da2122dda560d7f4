"""Diffusion in latents.

- `latent_diffusion`: the mathematics, on `published_keys`, which checks configurations.
- `ddpm`: the published `LatentDiffusion`, which is the same beside the methods of a Trainer.
"""
