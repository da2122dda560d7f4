"""Weights of control branches, made before a training and moved after one.

- `add_control`: a new branch for a base, copied from its U-Net's encoder.
- `transfer_control`: a trained branch for another base than its own.
- `conversion`, on `diffusers_layout`: a branch from our layout to that of diffusers, and back.
"""
