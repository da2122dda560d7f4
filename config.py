"""Switches for the whole process."""

# Keep on the GPU only what the current phase needs: slower, but it fits small cards.
save_memory = False
