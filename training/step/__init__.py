"""One training step.

- `module`, on `noise`: the loss of a batch, with random numbers that belong to each sample.
- `frozen`, on `latents`: the work of the frozen encoders, done once and kept.
- `gradient_checkpointing`: activations computed twice, where memory is short.
- `averaging`: a running average of the weights.
"""
