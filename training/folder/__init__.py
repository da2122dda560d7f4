"""The folder of a training.

- `run_folder`, on `start_record`: its records and its lock.
- `output_options`, on `loggers` and `wandb_logger`: where losses and pictures go.
- `card`: a page about the weights.
"""
