"""Keys of published configurations: those that change nothing here, and those to refuse."""

UNUSED_KEYS = {
    "num_timesteps_cond",  # a cascade that no model of this family uses
    "log_every_t",  # logging of the published program
    "image_size",  # latent size; the network takes any
    "conditioning_key",  # always cross-attention
    "monitor",  # belongs to the training loop
    "use_ema",  # always false, checked
    "scheduler_config",  # always none, checked
    "beta_schedule",  # always `linear`, checked
    "loss_type",  # always `l2`, checked
}


def check_keys(parameterization: str, unused: dict) -> None:
    """Check that a configuration asks for nothing that `LatentDiffusionModel` lacks.

    Args:
        unused: values by key that no argument of `LatentDiffusionModel` takes.
    Raises:
        ValueError: an unknown key or parameterization, another schedule or another loss.
    """
    # A misspelt key would otherwise leave its default in place unnoticed.
    if unknown := sorted(set(unused) - UNUSED_KEYS):
        raise ValueError(f"model configuration: unknown keys {unknown}")
    if unused.get("beta_schedule", "linear") != "linear" or unused.get("loss_type", "l2") != "l2":
        raise ValueError("model configuration: expected beta_schedule: linear and loss_type: l2")
    if unused.get("use_ema"):
        raise ValueError(
            "model configuration: use_ema: true, but this model keeps no averaged weights. "
            "Set use_ema: false"
        )
    if unused.get("scheduler_config") is not None:
        raise ValueError(
            "model configuration: scheduler_config is not supported, the learning rate is "
            "constant. Remove it, and set learning_rate on the model"
        )
    if parameterization not in ("eps", "v"):
        raise ValueError(
            f"model configuration: parameterization {parameterization!r}, expected eps or v"
        )
