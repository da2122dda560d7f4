"""Exports of a finished run, for other programs.

- `exports`: those that a command asks for.
- `dataset`, on `layouts`, `groups` and `card`: a data set for segmentation.
- `volume`: a stack as one file.
- `ome_zarr`: the format that both can have.
"""
