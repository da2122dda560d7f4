"""Generation: from folders of conditions to a folder of images.

In the order of the work:

- `settings`: all options by group; the groups stand beside what they configure, or in `options`
  where that loads torch.
- `branches`, `published`: what steers the images, from the general and the published options.
- `plan`, `inputs`, `shards`: which images are made, their files, and which process makes them.
- `preparing`: what all this makes of a command, before anything is drawn.
- `model`, `drawing`: the model with its branches, and the loop over batches.
- `run`, on `run_options`, `run_folder`, `names`, `manifest` and `writer`: the folder of a run.
- `report`, `scores`, `export`, `summary`: what people and other programs get to see.
- `costs`: seconds that an image takes.
"""
