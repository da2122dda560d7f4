"""Generation: from folders of conditions to a folder of images.

In the order of the work:

- `settings`, `presets`: all options by group; the groups stand beside what they configure, or in
  `options` where that loads torch.
- `branches`, `published`: what steers the images, from the general and the published options.
- `plan`, `inputs`, `start`, `stack`, `resample`, `shards`: which images are made, from which files
  and noise, how many of each, and which process makes them.
- `preparing`: what all this makes of a command, before anything is drawn.
- `making`, on `model`, `watched_weights` and `drawing`: the model with its branches, the checksums
  of its files, and the loop over batches.
- `gate`, `grain`: pictures are judged, drawn again or given noise before they are written.
- `run`, on `run_options`, `run_folder`, `names`, `state`, `manifest`, `image_line`, `soundness` and
  `writer`: the folder of a run.
- `report`, `scores`, `summary`: what people get to see.
- `exports`, on `export`, `export_layouts`, `export_card`, `export_volume` and `ome_zarr`: what
  other programs get to see.
- `costs`: seconds that an image takes.
"""
