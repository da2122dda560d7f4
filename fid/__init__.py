"""Scores of generated images against real ones, and the networks that they look through.

- `compute_cem_fid`, `compute_normal_fid`, on `score_script`: the two published programs.
- `options`, `scoring`, `results`, `tables`: what is computed, and how it is told.
- `images`, `preprocessing`, `features`: from a folder to features, computed once.
- `distances`, `scarce`, `copies`, `reconstruction`: the mathematics.
- `validation`: scores of a model while it trains.
- `notebooks`: names that notebooks import from the published scripts.
- `backbones`: the registry of networks. `pretraining`: how such a network is trained.
"""
