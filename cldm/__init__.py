"""Control of latent diffusion (Zhang et al. 2023): branches, models with them, their samples.

- `controlnet`: the control branch, the U-Net that it steers, and latent diffusion with both.
- `cldm`: the published `ControlLDM`, which is the same beside the methods of a Lightning Trainer.
- `multi`: several branches at once.
- `configuration`, `model`, on `names`, `parameterization` and `layer_precision`: models from YAML
  files and checkpoints.
- `control_weights`: branches made, moved and converted.
- `sampling`, on `options` and `guidance`: pictures for conditions; `parts_in_turn`: on small cards;
  `recorded`: with CUDA graphs; `known_texts`: without a text encoder.
- `speed`: networks compiled, recorded or packed, and freed memory kept.
- `logger`: pictures that a training draws.
- `base_encoder`: a warning of another base than that of a branch's training, or a refusal.
- `first_values`: a few values, by which frozen weights are known again.
- `unknown_prompts`: a warning of weights whose prompts nobody recorded.
- `ddim_hacked`, `hack`, on `unsupported`: published names for notebooks.
"""
