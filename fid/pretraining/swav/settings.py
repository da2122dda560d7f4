"""Settings of SwAV."""

from dataclasses import dataclass
from pathlib import Path

from omegaconf import MISSING

from fid.pretraining.settings import RecipeSettings

CONFIG = Path(__file__).resolve().parent / "swav_cem15m.yaml"


@dataclass
class SwavSettings(RecipeSettings):
    """The keys of the configuration, which swav_cem15m.yaml explains."""

    hidden_mlp: int = MISSING
    checkpoint_freq: int = MISSING
    use_fp16: bool = MISSING
    warmup_epochs: int = MISSING
    start_warmup: float = MISSING
    base_lr: float = MISSING
    final_lr: float = MISSING
    freeze_prototypes_niters: int = MISSING
    wd: float = MISSING
    nmb_crops: list[int] = MISSING
    size_crops: list[int] = MISSING
    min_scale_crops: list[float] = MISSING
    max_scale_crops: list[float] = MISSING
    crops_for_assign: list[int] = MISSING
    temperature: float = MISSING
    epsilon: float = MISSING
    sinkhorn_iterations: int = MISSING
    feat_dim: int = MISSING
    nmb_prototypes: int = MISSING
    queue_length: int = MISSING
    epoch_queue_starts: int = MISSING
    weight_gamma: float = MISSING

    def check(self) -> None:
        """Raise ValueError where values do not go together."""
        super().check()
        kinds = ("nmb_crops", "size_crops", "min_scale_crops", "max_scale_crops")
        if len({len(getattr(self, key)) for key in kinds}) > 1:
            raise ValueError(f"{', '.join(kinds)}: expected one number for each kind of crop")
        if any(i >= sum(self.nmb_crops) for i in self.crops_for_assign):
            raise ValueError(
                f"crops_for_assign is {self.crops_for_assign}, expected indices below "
                f"{sum(self.nmb_crops)}, the number of crops"
            )
