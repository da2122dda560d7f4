"""Pre-train a ResNet-50 on electron micrographs without labels: SwAV (Caron et al. 2020), as for CEM1.5M.

    python fid/pretraining/swav/train.py --data_path my_images --model_dir models/my_swav

`checkpoint.pth.tar` in the output folder is in the published layout: compute_cem_fid.py --backbone cem1.5m --weights-path takes it.
"""

import itertools
from pathlib import Path

import pytorch_lightning as pl
import torch
from lightly.loss import SwaVLoss
from lightly.models.utils import normalize_weight
from lightly.utils.lars import LARS
from lightly.utils.scheduler import CosineWarmupScheduler
from torch import nn
from torch.nn import functional as F

from fid.backbones.cem import RESNET50_WIDTH, grey_resnet50
from fid.pretraining.common import EpochFiles, build_parser, build_trainer, fit, read_settings, view
from share import run_script

CONFIG = Path(__file__).resolve().parent / "swav_cem15m.yaml"
KEYS = (
    "hidden_mlp", "checkpoint_freq", "use_fp16", "warmup_epochs", "start_warmup", "base_lr", "final_lr", "freeze_prototypes_niters", "wd",
    "nmb_crops", "size_crops", "min_scale_crops", "max_scale_crops", "crops_for_assign", "temperature", "epsilon", "sinkhorn_iterations",
    "feat_dim", "nmb_prototypes", "queue_length", "epoch_queue_starts", "weight_gamma",
)  # fmt: skip
TRUST = 0.001  # of LARS: length of an update relative to its weights
MOMENTUM = 0.9


class SwAV(pl.LightningModule):
    """Crops of an image must predict each other's assignment to prototypes.

    Args:
        settings: see the YAML file.
        queue_length: embeddings that this process keeps per assigned crop; 0 for none.
    """

    def __init__(self, settings, queue_length: int):
        super().__init__()
        self.settings = settings
        self.backbone = grey_resnet50()
        self.backbone.fc = nn.Identity()
        self.projection_head = nn.Sequential(
            nn.Linear(RESNET50_WIDTH, settings.hidden_mlp),
            nn.BatchNorm1d(settings.hidden_mlp),
            nn.ReLU(),
            nn.Linear(settings.hidden_mlp, settings.feat_dim),
        )
        self.prototypes = nn.Linear(settings.feat_dim, settings.nmb_prototypes, bias=False)
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
        s = self.settings
        kinds = zip(s.nmb_crops, s.size_crops, s.min_scale_crops, s.max_scale_crops, strict=True)
        return [
            view(size, low, high, *s.norms)
            for count, size, low, high in kinds
            for _ in range(count)
        ]

    def embed(self, crops):
        """Unit vectors (N, feat_dim) of each crop, a list; crops of one size share a pass."""
        sized = [
            list(group) for _, group in itertools.groupby(crops, key=lambda crop: crop.shape[-1])
        ]
        embeddings = [
            F.normalize(self.projection_head(self.backbone(torch.cat(group)))) for group in sized
        ]
        return [
            part
            for group, joined in zip(sized, embeddings, strict=True)
            for part in joined.chunk(len(group))
        ]

    def training_step(self, crops, batch_idx):
        with torch.no_grad():
            normalize_weight(self.prototypes.weight)
        embeddings = self.embed(crops)
        scores = [self.prototypes(embedding) for embedding in embeddings]
        assigned = self.settings.crops_for_assign
        others = [score for i, score in enumerate(scores) if i not in assigned]
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
        """Scores of the queued embeddings, a list of (queue_length, nmb_prototypes), or None until the queue is full; then queues these ones."""
        if not self.queue.shape[1] or self.current_epoch < self.settings.epoch_queue_starts:
            return None
        full = bool(self.queue[:, -1].any())
        scores = [self.prototypes(queue).float() for queue in self.queue] if full else None
        self.queue = torch.cat([torch.stack(embeddings).to(self.queue), self.queue], dim=1)[
            :, : self.queue.shape[1]
        ]
        return scores

    def on_after_backward(self):
        if self.global_step < self.settings.freeze_prototypes_niters:
            self.prototypes.weight.grad = None

    def configure_optimizers(self):
        s = self.settings
        optimizer = LARS(
            self.parameters(),
            lr=s.base_lr,
            momentum=MOMENTUM,
            weight_decay=s.wd,
            trust_coefficient=TRUST,
        )
        steps = self.trainer.estimated_stepping_batches
        schedule = CosineWarmupScheduler(
            optimizer,
            round(steps * s.warmup_epochs / s.epochs),
            steps,
            end_value=s.final_lr / s.base_lr,
            warmup_start_value=s.start_warmup / s.base_lr,
        )
        return [optimizer], [{"scheduler": schedule, "interval": "step"}]

    def on_save_checkpoint(self, checkpoint):
        if self.trainer.world_size > 1:
            checkpoint["queues"] = self.all_gather(
                self.queue
            ).cpu()  # (processes, assigned crops, queue_length, feat_dim)

    def on_load_checkpoint(self, checkpoint):
        queues = checkpoint.get("queues", checkpoint["state_dict"]["queue"][None])
        if len(queues) != self.trainer.world_size:
            raise ValueError(
                f"--resume: the checkpoint holds the queues of {len(queues)} process(es), this run has {self.trainer.world_size}"
            )
        checkpoint["state_dict"]["queue"] = queues[self.global_rank]

    def published(self):
        """Tensors under the published names."""
        tensors = {
            f"module.{key.removeprefix('backbone.')}": value
            for key, value in self.state_dict().items()
            if key != "queue"
        }
        return {"state_dict": tensors, "run_id": None}


def copy_name(checkpoint_freq: int, epochs: int):
    """Function from an epoch (from 0) to the name of the copy that is kept of it, or None."""
    return lambda epoch: (
        f"ckp-{epoch}.pth" if epoch % checkpoint_freq == 0 or epoch == epochs - 1 else None
    )


def main(argv=None):
    args = build_parser(__doc__.split("\n\n")[0], CONFIG).parse_args(argv)
    settings = read_settings(args, KEYS)
    pl.seed_everything(args.seed, verbose=False)
    files = EpochFiles(
        settings.model_dir,
        "checkpoint.pth.tar",
        copy_name(settings.checkpoint_freq, settings.epochs),
    )
    trainer = build_trainer(
        settings, args, files, "16" if settings.use_fp16 else "32", sync_batchnorm=True
    )
    queue_length = settings.queue_length // trainer.world_size
    recipe = SwAV(settings, queue_length - queue_length % settings.batch_size)
    fit(trainer, recipe, settings, settings.batch_size, args.seed, settings.weight_gamma)


if __name__ == "__main__":
    run_script(main)
