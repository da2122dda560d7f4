"""Segmentation: a small U-Net that judges images by their masks.

- `options`, `folders`: what it is trained on, and how.
- `data`, `augmentation`, `reflection`: from pairs of files to crops.
- `run_record`: where generated pairs come from.
- `network`: the U-Net and its checkpoint.
- `training`, `scoring`: how it is trained, and how well its predictions agree with masks.
- `saving`: a training that ends in a checkpoint.
- `prediction`: masks that segmenters predict for images.
- `judge`: what it says of images while others are drawn or trained.
- `bioimage`: its export for other programs.
- `study`: which training data help it.
"""
