"""Training: from pairs of images and conditions to the weights of a control branch.

In the order of the work:

- `run_options`, on `options` and `processes`: all options by group.
- `data`: the data sets that the folders make, and the samples of each step.
- `step`: one step and one validation, on frozen encoders whose work is kept.
- `trainer`, on `callbacks`: the optimizer steps, by Lightning, and what happens between them.
- `execution`: from the trainer to the card.
- `run`, on `folder` and `names`: a run in its folder, and what it must find unchanged when it goes
  on.
- `model`: the model of a run, with the weights that it starts or goes on from.
- `summary`: what people get to see.
- `costs`: seconds that a step takes.
- `base`: the training of a base model, autoencoder and U-Net, on images without labels.
"""
