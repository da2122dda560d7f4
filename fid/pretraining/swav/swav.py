"""SwAV (Caron et al. 2020) for grey images, as for CEM1.5M."""

import itertools
from collections.abc import Callable

import pytorch_lightning as pl
import torch
from lightly.loss import SwaVLoss
from lightly.models.utils import normalize_weight
from lightly.utils.lars import LARS
from lightly.utils.scheduler import CosineWarmupScheduler
from torch import nn
from torch.nn import functional as F

from core.command_line.options import OptionError
from fid.backbones.cem import RESNET50_WIDTH
from fid.backbones.resnet50 import headless_resnet50
from fid.pretraining.swav.settings import SwavSettings
from fid.pretraining.views import view

TRUST = 0.001  # of LARS: length of an update relative to its weights
MOMENTUM = 0.9


class SwAV(pl.LightningModule):
    """Crops of an image must predict each other's assignment to prototypes.

    In the shapes below, d is `feat_dim`, the width of an embedding.

    Args:
        settings: see `SwavSettings`.
        queue_length: embeddings that this process keeps per assigned crop; 0 for none.
    """

    def __init__(self, settings: SwavSettings, queue_length: int):
        super().__init__()
        self.settings = settings
        self.backbone = headless_resnet50()
        self.projection_head = nn.Sequential(
            nn.Linear(RESNET50_WIDTH, settings.hidden_mlp),
            nn.BatchNorm1d(settings.hidden_mlp),
            nn.ReLU(),
            nn.Linear(settings.hidden_mlp, settings.feat_dim),
        )
        self.prototypes = nn.Linear(settings.feat_dim, settings.nmb_prototypes, bias=False)
        # A buffer, so that it moves to the GPU and is saved with the state.
        self.register_buffer(
            "queue", torch.zeros(len(settings.crops_for_assign), queue_length, settings.feat_dim)
        )
        self.loss = SwaVLoss(
            settings.temperature,
            settings.sinkhorn_iterations,
            settings.epsilon,
            sinkhorn_gather_distributed=True,
        )

    def views(self):
        """Augmentations that make the crops of an image, large ones first."""
        s = self.settings
        kinds = zip(s.nmb_crops, s.size_crops, s.min_scale_crops, s.max_scale_crops, strict=True)
        return [
            view(size, low, high, *s.norms)
            for count, size, low, high in kinds
            for _ in range(count)
        ]

    def embed(self, crops):
        """Unit vectors (N, d) of each crop, a list; crops of one size share a pass of the backbone.

        Args:
            crops: a list of (N, 1, size, size), neighbours of one size together.
        """
        # Tensors of different sizes do not stack.
        sized = [
            list(group) for _, group in itertools.groupby(crops, key=lambda crop: crop.shape[-1])
        ]
        features = torch.cat([self.backbone(torch.cat(group)) for group in sized])  # (all, 2048)
        # One pass for all sizes, as published: the head's batch norm sees all crops together.
        joined = F.normalize(self.projection_head(features))  # (crops * N, d)
        return list(joined.chunk(len(crops)))  # (N, d) each

    def training_step(self, crops, batch_idx):
        """Swapped prediction loss (Caron et al. 2020, Eq. 2) of a list of crops."""
        with torch.no_grad():  # prototypes are unit vectors at each step, not by a constraint
            normalize_weight(self.prototypes.weight)
        embeddings = self.embed(crops)  # (N, d) each
        scores = [self.prototypes(embedding) for embedding in embeddings]  # (N, prototypes) each
        assigned = self.settings.crops_for_assign
        others = [score for i, score in enumerate(scores) if i not in assigned]
        # They only shape the assignment, so they carry no gradient.
        earlier = self.earlier_scores([embeddings[i].detach() for i in assigned])
        loss = self.loss(
            [scores[i].float() for i in assigned], [score.float() for score in others], earlier
        ).squeeze()
        self.log(
            "loss",
            loss,
            prog_bar=True,
            on_step=True,
            on_epoch=True,
            sync_dist=True,
            batch_size=len(crops[0]),
        )
        return loss

    @torch.no_grad()
    def earlier_scores(self, embeddings):
        """Scores of the queued embeddings, or None until the queue is full; queues new ones.

        Args:
            embeddings: of this batch, a list of (N, d), one per assigned crop.
        Returns:
            A list of (queue_length, prototypes), one per assigned crop, or None.
        """
        if not self.queue.shape[1] or self.current_epoch < self.settings.epoch_queue_starts:
            return None
        full = bool(self.queue[:, -1].any())  # it begins as zeros, and new ones push from the front
        scores = [self.prototypes(queue).float() for queue in self.queue] if full else None
        length = self.queue.shape[1]
        newest = torch.stack(embeddings).to(self.queue)  # (assigned crops, N, d)
        self.queue = torch.cat([newest, self.queue], dim=1)[:, :length]  # (assigned, length, d)
        return scores

    def on_after_backward(self):
        """Keep the prototypes as they are for the first steps."""
        # None, not zeros: LARS would still apply momentum and weight decay to zeros.
        if self.global_step < self.settings.freeze_prototypes_niters:
            self.prototypes.weight.grad = None

    def configure_optimizers(self):
        """LARS whose learning rate warms up, then falls along a cosine, step by step."""
        s = self.settings
        optimizer = LARS(
            self.parameters(),
            lr=s.base_lr,
            momentum=MOMENTUM,
            weight_decay=s.wd,
            trust_coefficient=TRUST,
        )
        steps = self.trainer.estimated_stepping_batches  # of the whole training
        # lightly takes learning rates as factors of the base rate.
        schedule = CosineWarmupScheduler(
            optimizer,
            round(steps * s.warmup_epochs / s.epochs),
            steps,
            end_value=s.final_lr / s.base_lr,
            warmup_start_value=s.start_warmup / s.base_lr,
        )
        return [optimizer], [{"scheduler": schedule, "interval": "step"}]

    def on_save_checkpoint(self, checkpoint):
        """Add the queues of all processes, (processes, assigned crops, queue_length, d)."""
        if self.trainer.world_size > 1:
            checkpoint["queues"] = self.all_gather(self.queue).cpu()

    def on_load_checkpoint(self, checkpoint):
        """Put this process's queue into the state that is about to be loaded.

        Raises:
            OptionError: the checkpoint is of another number of processes.
        """
        # A run of one process saved its queue as part of the state alone.
        queues = checkpoint.get("queues", checkpoint["state_dict"]["queue"][None])
        if len(queues) != self.trainer.world_size:
            raise OptionError(
                "resume",
                f"the checkpoint holds the queues of {len(queues)} process(es), this run has "
                f"{self.trainer.world_size}. Use as many processes as then.",
            )
        checkpoint["state_dict"]["queue"] = queues[self.global_rank]

    def published(self):
        """Tensors under the published names."""
        # The published model is the backbone itself, and its queues lie in files of their own.
        own = {key: value for key, value in self.state_dict().items() if key != "queue"}
        tensors = {f"module.{key.removeprefix('backbone.')}": own[key] for key in own}
        return {"state_dict": tensors, "run_id": None}


def copy_name(checkpoint_freq: int, epochs: int) -> Callable[[int], str | None]:
    """Function from an epoch, from 0, to the name of the copy that is kept of it, or None."""

    def name(epoch: int) -> str | None:
        kept = epoch % checkpoint_freq == 0 or epoch == epochs - 1
        return f"ckp-{epoch}.pth" if kept else None

    return name
