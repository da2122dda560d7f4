"""The plan: which images are made, from which files and noise, and by which process.

- `branches`, `published_options`: what steers the images, from the general and the published
  options.
- `inputs`, `start`: condition files and the images to start from.
- `plan`, on `resample` and `stack`: the images, how many of each, and what neighbours share.
- `shards`: the part of one process.
"""
