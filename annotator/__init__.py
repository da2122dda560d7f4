"""Detectors: pictures of edges, depth, people, classes or membranes, drawn from images.

- `registry`: all of them by name; `detector` is what each declares, and those with a network are in
  `network_detectors`. The code of each lies in a folder of its name.
- `networks`, `weights`, `util`: what detectors with a network share.
- `synthetic_maps`: outputs of networks to draw from without weights.
- `folder`: the maps of a whole folder of images.
"""
