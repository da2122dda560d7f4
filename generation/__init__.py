"""Generation: from folders of conditions to a folder of images.

In the order of the work:

- `settings`, `presets`, `run_options`: all options by group; the groups stand beside what they
  configure, or in `options` where that loads torch.
- `planning`: which images are made, from which files and noise.
- `preparing`: what all this makes of a command, before anything is drawn.
- `making`, on `drawing`: the model is loaded, and the images are drawn and judged.
- `drawn`: a picture on its way.
- `run`, on `names` and `folder`: the run and its folder.
- `summary`, `reporting`, `exporting`: what people and other programs get to see.
- `costs`: seconds that an image takes.
- `notebooks`: images of one condition set, with the caller's model.
"""
