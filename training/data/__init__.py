"""The data of a training.

- `datasets`: what the folders make.
- `batches`: which samples a step takes.
- `loaders`: their samples, read ahead.
- `data_record`: what must be unchanged when a run goes on.
"""
