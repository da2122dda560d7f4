"""The folder of a run: what lies in it, and what a later call must find unchanged.

- `run_folder`: its files and its locks.
- `state`: the start of the run.
- `published_state`: that of a run of the published code, or of a notebook.
- `manifest`, `image_line`: how each image was made.
- `soundness`: whether the pictures are as they were written.
"""
