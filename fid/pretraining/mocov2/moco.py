"""MoCo v2 (He et al. 2020; Chen et al. 2020) for grey images, as for CEM500K."""

import copy
from collections.abc import Callable

import pytorch_lightning as pl
import torch
from einops import rearrange
from lightly.models.modules.memory_bank import MemoryBankModule
from lightly.models.utils import (
    batch_shuffle,
    batch_unshuffle,
    deactivate_requires_grad,
    update_momentum,
)
from torch import nn
from torch.nn import functional as F

from fid.backbones.cem import RESNET50_WIDTH
from fid.backbones.resnet50 import grey_resnet50
from fid.pretraining.mocov2.settings import MocoSettings
from fid.pretraining.views import view

CROP = (0.2, 1.0)  # share of an image's area


class MoCo(pl.LightningModule):
    """A query encoder that tells views of the same image from views of earlier images.

    The other view of an image, and the queue of earlier ones, are seen by the key encoder, which
    follows the query encoder slowly.

    Args:
        settings: its `moco_dim` is the width of an embedding, d below, and its `moco_k` the length
            of the queue, K.
    """

    def __init__(self, settings: MocoSettings):
        super().__init__()
        self.settings = settings
        self.encoder_q = grey_resnet50()
        self.encoder_q.fc = nn.Sequential(
            nn.Linear(RESNET50_WIDTH, RESNET50_WIDTH),
            nn.ReLU(),
            nn.Linear(RESNET50_WIDTH, settings.moco_dim),
        )
        # Both encoders begin alike; then the key encoder learns by momentum only.
        self.encoder_k = copy.deepcopy(self.encoder_q)
        deactivate_requires_grad(self.encoder_k)
        self.queue = MemoryBankModule((settings.moco_k, settings.moco_dim), gather_distributed=True)

    def views(self):
        """Augmentations that make the query's view and the key's view of an image."""
        return [view(self.settings.image_size, *CROP, *self.settings.norms)] * 2

    @torch.no_grad()
    def keys(self, x):
        """Embeddings of the key encoder, (N, 1, size, size) -> unit vectors (N, d).

        Several GPUs exchange images first: batch statistics would else tell which key belongs to a
        query (He et al. 2020, Section 3.3).
        """
        # Eq. 2: the key encoder's weights are m of the old ones and 1 - m of the query encoder's.
        update_momentum(self.encoder_q, self.encoder_k, self.settings.moco_m)
        if self.trainer.world_size == 1:
            return F.normalize(self.encoder_k(x).float())  # (N, d)
        shuffled, order = batch_shuffle(x, distributed=True)  # (N, 1, size, size), (all N,)
        keys = F.normalize(self.encoder_k(shuffled).float())  # (N, d)
        return batch_unshuffle(keys, order, distributed=True)  # (N, d)

    def training_step(self, views, batch_idx):
        """InfoNCE loss (He et al. 2020, Eq. 1) of two lists of views, (N, 1, size, size) each."""
        query = F.normalize(self.encoder_q(views[0]).float())  # (N, d)
        # The queue is as it was before this batch.
        key, queue = self.queue(self.keys(views[1]), update=True)  # (N, d), (d, K)
        # bf16 does not tell cosines apart that lie this close together.
        with torch.autocast(self.device.type, enabled=False):
            positive = (query * key).sum(dim=1, keepdim=True)  # (N, 1)
            cosines = torch.cat([positive, query @ queue], dim=1)  # (N, 1 + K)
            logits = cosines / self.settings.moco_t  # (N, 1 + K)
        right = logits.new_zeros(len(logits), dtype=torch.long)  # (N,), the positive comes first
        loss = F.cross_entropy(logits, right)
        above = (logits[:, 1:] >= logits[:, :1]).sum(dim=1)  # (N,), negatives above the positive
        metrics = {
            "ins_loss": loss,
            "top1_prob": (above < 1).float().mean() * 100,
            "top5_prob": (above < 5).float().mean() * 100,
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
        """SGD whose learning rate falls in steps, or along a cosine."""
        settings = self.settings
        optimizer = torch.optim.SGD(
            self.encoder_q.parameters(),
            settings.lr,
            momentum=settings.momentum,
            weight_decay=settings.weight_decay,
        )
        # Both count epochs, Lightning's default.
        if settings.cos:
            schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, settings.epochs)
        else:
            schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, settings.schedule)
        return [optimizer], [schedule]

    def on_save_checkpoint(self, checkpoint):
        """Add the queue, which lightly leaves out of the module's state."""
        checkpoint["queue"] = {"bank": self.queue.bank, "bank_ptr": self.queue.bank_ptr}

    def on_load_checkpoint(self, checkpoint):
        """Take the queue that `on_save_checkpoint` added."""
        self.queue.bank.copy_(checkpoint["queue"]["bank"])
        self.queue.bank_ptr.copy_(checkpoint["queue"]["bank_ptr"])

    def published(self):
        """Tensors under the published names, and the architecture."""
        # `module.` comes from parallel training, in which the published file was written.
        tensors = {f"module.{key}": value for key, value in self.state_dict().items()}
        tensors["module.queue"] = rearrange(self.queue.bank, "keys d -> d keys")
        tensors["module.queue_ptr"] = self.queue.bank_ptr
        return {"arch": "resnet50", "state_dict": tensors}


def copy_name(save_freq: int) -> Callable[[int], str | None]:
    """Function from an epoch, from 0, to the name of the copy that is kept of it, or None."""

    def name(epoch: int) -> str | None:
        done = epoch + 1
        return f"checkpoint_{done:04d}.pth.tar" if done % save_freq == 0 else None

    return name
