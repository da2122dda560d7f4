"""Runs of a training, as tests look at them."""

from core.weights.torch_files import load_pickle


def validation(pairs):
    """Options that validate with the pairs."""
    return f"--val_image_path {pairs}/images --val_mask_path {pairs}/masks".split()


def only_run(tmp_path):
    """Folder of the only run in `runs/`."""
    (run,) = (tmp_path / "runs").iterdir()
    return run


def final_state(run):
    """Weights, moments of the optimizer and step of `last.ckpt`."""
    checkpoint = load_pickle(run / "last.ckpt", "cpu")
    return (
        checkpoint["state_dict"],
        checkpoint["optimizer_states"][0]["state"],
        checkpoint["global_step"],
    )
