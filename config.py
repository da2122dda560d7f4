"""Switches for the whole process."""

# Keep on the GPU only what the current phase of a generation needs: slower, but it fits small
# cards. It is the default of the option of this name.
save_memory = False
