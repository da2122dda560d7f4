"""Drawing: from a plan to pictures.

- `model`, `watched_weights`: the model with its branches, and the checksums of its files.
- `loop`: batches are read, drawn, judged and written.
- `gate`, `grain`: pictures are judged, drawn again or given noise before they are written.
- `writer`: files are written while the next pictures are drawn.
"""
