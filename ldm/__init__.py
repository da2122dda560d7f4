"""Latent diffusion (Rombach et al. 2022): networks and mathematics.

- `models`: the autoencoder, and diffusion in its latents.
- `modules`: what U-Net, autoencoder and text encoders are made of.
- `samplers`: from noise to images, one file for each method.
- `util`: objects from a YAML file.
"""
