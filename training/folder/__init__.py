"""The folder of a training.

- `run_folder`, on `first_weights`: its records and its lock.
- `names`: the best weights.
- `outputs`, on `loggers` and `wandb_logger`: where losses and pictures go.
- `card`: a page about the weights.
"""
