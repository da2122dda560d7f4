"""Pre-train a ResNet-50 on electron micrographs without labels: MoCo v2 (He et al. 2020; Chen et al. 2020), as for CEM500K.

    python fid/pretraining/mocov2/train.py --data_path my_images --model_dir models/my_moco

`current.pth.tar` in the output folder is in the published layout: compute_cem_fid.py --weights-path takes it.
"""

import copy
from pathlib import Path

import pytorch_lightning as pl
import torch
from lightly.models.modules.memory_bank import MemoryBankModule
from lightly.models.utils import (
    batch_shuffle,
    batch_unshuffle,
    deactivate_requires_grad,
    update_momentum,
)
from torch import nn
from torch.nn import functional as F

from fid.backbones.cem import RESNET50_WIDTH, grey_resnet50
from fid.pretraining.common import EpochFiles, build_parser, build_trainer, fit, read_settings, view
from share import run_script

CONFIG = Path(__file__).resolve().parent / "mocov2_cem500k.yaml"
KEYS = (
    "save_freq",
    "image_size",
    "lr",
    "schedule",
    "cos",
    "momentum",
    "weight_decay",
    "moco_dim",
    "moco_k",
    "moco_m",
    "moco_t",
    "mlp",
)
CROP = (0.2, 1.0)  # share of an image's area


class MoCo(pl.LightningModule):
    """A query encoder that must tell the other view of its image, as the key encoder sees it, from the views of earlier images.

    Args:
        settings: see the YAML file.
    """

    def __init__(self, settings):
        super().__init__()
        self.settings = settings
        self.encoder_q = grey_resnet50()
        self.encoder_q.fc = nn.Sequential(
            nn.Linear(RESNET50_WIDTH, RESNET50_WIDTH),
            nn.ReLU(),
            nn.Linear(RESNET50_WIDTH, settings.moco_dim),
        )
        self.encoder_k = copy.deepcopy(self.encoder_q)
        deactivate_requires_grad(self.encoder_k)
        self.queue = MemoryBankModule((settings.moco_k, settings.moco_dim), gather_distributed=True)

    def views(self):
        return [view(self.settings.image_size, *CROP, *self.settings.norms)] * 2

    @torch.no_grad()
    def keys(self, x):
        """Unit vectors (N, moco_dim) of the key encoder; several GPUs shuffle their batches, so that batch statistics give nothing away."""
        update_momentum(self.encoder_q, self.encoder_k, self.settings.moco_m)
        if self.trainer.world_size == 1:
            return F.normalize(self.encoder_k(x).float())
        shuffled, order = batch_shuffle(x, distributed=True)
        return batch_unshuffle(
            F.normalize(self.encoder_k(shuffled).float()), order, distributed=True
        )

    def training_step(self, views, batch_idx):
        query = F.normalize(self.encoder_q(views[0]).float())
        key, queue = self.queue(
            self.keys(views[1]), update=True
        )  # (N, dim), (dim, K) as it was before this batch
        with torch.autocast(
            self.device.type, enabled=False
        ):  # brain floats do not tell cosines apart that lie this close together
            logits = (
                torch.cat([(query * key).sum(dim=1, keepdim=True), query @ queue], dim=1)
                / self.settings.moco_t
            )  # (N, 1 + K)
        loss = F.cross_entropy(logits, logits.new_zeros(len(logits), dtype=torch.long))
        better = (logits[:, 1:] >= logits[:, :1]).sum(
            dim=1
        )  # negatives that score above the positive
        metrics = {
            "ins_loss": loss,
            "top1_prob": (better < 1).float().mean() * 100,
            "top5_prob": (better < 5).float().mean() * 100,
        }
        self.log_dict(
            metrics,
            prog_bar=True,
            on_step=True,
            on_epoch=True,
            sync_dist=True,
            batch_size=len(query),
        )
        return loss

    def configure_optimizers(self):
        settings = self.settings
        optimizer = torch.optim.SGD(
            self.encoder_q.parameters(),
            settings.lr,
            momentum=settings.momentum,
            weight_decay=settings.weight_decay,
        )
        if settings.cos:
            schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, settings.epochs)
        else:
            schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, settings.schedule)
        return [optimizer], [schedule]

    def on_save_checkpoint(self, checkpoint):
        checkpoint["queue"] = {
            "bank": self.queue.bank,
            "bank_ptr": self.queue.bank_ptr,
        }  # lightly leaves them out of the state

    def on_load_checkpoint(self, checkpoint):
        self.queue.bank.copy_(checkpoint["queue"]["bank"])
        self.queue.bank_ptr.copy_(checkpoint["queue"]["bank_ptr"])

    def published(self):
        """Tensors under the published names, and the architecture."""
        tensors = {f"module.{key}": value for key, value in self.state_dict().items()}
        return {
            "arch": "resnet50",
            "state_dict": tensors
            | {"module.queue": self.queue.bank.T, "module.queue_ptr": self.queue.bank_ptr},
        }


def copy_name(save_freq: int):
    """Function from an epoch (from 0) to the name of the copy that is kept of it, or None."""
    return lambda epoch: (
        f"checkpoint_{epoch + 1:04d}.pth.tar" if (epoch + 1) % save_freq == 0 else None
    )


def main(argv=None):
    args = build_parser(__doc__.split("\n\n")[0], CONFIG).parse_args(argv)
    settings = read_settings(args, KEYS)
    if not settings.mlp:
        raise ValueError(f"{args.config}: mlp is false, which is MoCo v1; expected true")
    if settings.moco_k % settings.batch_size:
        raise ValueError(
            f"{args.config}: moco_k {settings.moco_k} is no multiple of batch_size {settings.batch_size}"
        )
    pl.seed_everything(args.seed, verbose=False)
    trainer = build_trainer(
        settings,
        args,
        EpochFiles(settings.model_dir, "current.pth.tar", copy_name(settings.save_freq)),
    )
    if settings.batch_size % trainer.world_size:
        raise ValueError(
            f"{args.config}: batch_size {settings.batch_size} does not split over {trainer.world_size} GPUs"
        )
    fit(trainer, MoCo(settings), settings, settings.batch_size // trainer.world_size, args.seed)


if __name__ == "__main__":
    run_script(main)
