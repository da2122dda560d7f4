"""Switches for the whole process."""

save_memory = False  # keep on the GPU only what the phase at hand needs; generation gets slower and fits small cards
