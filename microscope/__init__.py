"""Images as a microscope would give them.

- `phantoms`, on `phantom_cells` and `phantom_shapes`: cells that are drawn, with their masks.
- `grain`, `grain_fit`, `grain_report`: noise that an autoencoder drops, measured and added.
"""
