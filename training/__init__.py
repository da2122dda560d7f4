"""Training: from pairs of images and conditions to the weights of a control branch.

In the order of the work:

- `run_options`, on `options`, `outputs` and `processes`: all options by group.
- `data`: the data sets that the folders make.
- `run`, on `run_folder`, `names`, `data_record` and `first_weights`: a run in its folder, and what
  it must find unchanged when it goes on.
- `batches`, `noise`: which samples a step takes, and the random numbers of each.
- `frozen`, `latents`: work of the frozen encoders, done once and kept.
- `module`, on `averaging` and `gradient_checkpointing`: one step and one validation.
- `trainer`, on `steps`: the optimizer steps, by Lightning.
- `checkpoints`, `patience`, `loss_curve`, `previews`, `validation`, `agreement`: callbacks.
- `loggers`, `wandb_logger`: where losses and pictures go.
- `summary`, `card`: what people get to see.
- `costs`: seconds that a step takes.
- `base`: the training of a base model, autoencoder and U-Net, on images without labels.
"""
