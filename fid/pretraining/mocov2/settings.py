"""Settings of MoCo v2."""

from dataclasses import dataclass
from pathlib import Path

from omegaconf import MISSING

from fid.pretraining.settings import RecipeSettings

CONFIG = Path(__file__).resolve().parent / "mocov2_cem500k.yaml"


@dataclass
class MocoSettings(RecipeSettings):
    """The keys of the configuration, which mocov2_cem500k.yaml explains."""

    save_freq: int = MISSING
    image_size: int = 224  # the published configuration has no such key
    lr: float = MISSING
    schedule: list[int] = MISSING
    cos: bool = MISSING
    momentum: float = MISSING
    weight_decay: float = MISSING
    moco_dim: int = MISSING
    moco_k: int = MISSING
    moco_m: float = MISSING
    moco_t: float = MISSING
    mlp: bool = MISSING

    def check(self) -> None:
        """Raise ValueError where values do not go together."""
        super().check()
        if not self.mlp:
            raise ValueError("mlp is false, which is MoCo v1; expected true")
        # The queue is written in whole batches, as a ring.
        if self.moco_k % self.batch_size:
            raise ValueError(f"moco_k {self.moco_k} is no multiple of batch_size {self.batch_size}")
