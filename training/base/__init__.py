"""Pre-training of a base model: the autoencoder, then the U-Net with its text encoder.

First stage: Rombach et al. 2022, Sec. 3.1. Second stage: Sec. 3.2 and 3.3. No labels are needed.
"""
