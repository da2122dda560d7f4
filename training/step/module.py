"""The training of a control branch: one step, one validation, one optimizer (Zhang et al. 2023)."""

import pytorch_lightning as pl
import torch

from cldm.controlnet import ControlledDiffusionModel
from core.hardware.devices import to_device
from core.samples import Batch
from training.step.averaging import AVERAGES, WeightAverage
from training.step.frozen import FrozenEncoders
from training.step.noise import draw_step_noise, spread_timesteps


class ControlTraining(pl.LightningModule):
    """Train a model's control branch on batches (`core.samples.Batch`).

    Its state is the model's, under the published names, so checkpoints load anywhere.

    Args:
        model: only its `trainable_parameters` are trained.
        encoders: the model's frozen encoders.
        learning_rate: of AdamW.
        ema_decay: decay of the averaged weights, which are validated and saved as the best; None
            for no average.
    """

    def __init__(
        self,
        model: ControlledDiffusionModel,
        encoders: FrozenEncoders,
        learning_rate: float,
        ema_decay: float | None = None,
    ):
        super().__init__()
        self.ema_decay, self.average, self.saved_average = ema_decay, None, None
        self.model, self.encoders, self.learning_rate = model, encoders, learning_rate
        self.train()
        # Frozen, so without dropout; Lightning leaves the mode of its parts as it is set here.
        model.first_stage_model.eval()

    def state_dict(self, *args, **kwargs):
        """The model's state, under the published names."""
        return self.model.state_dict(*args, **kwargs)

    def load_state_dict(self, state_dict, *args, **kwargs):
        """Load the model's state.

        Weights that are the same already stay where they are. A run that goes on maps its model
        from the same checkpoint; written once more, it would no longer be a part of the file, and
        take as much memory.
        """
        own = self.model.state_dict()
        state_dict = {
            name: own[name] if name in own and _equal(own[name], value) else value
            for name, value in state_dict.items()
        }
        return self.model.load_state_dict(state_dict, *args, **kwargs)

    def setup(self, stage):
        """Freeze what is not trained, before processes agree on the gradients they exchange."""
        self.model.freeze_the_rest()

    def configure_optimizers(self):
        """AdamW over the trained weights, at a constant rate."""
        # The rate stays constant, as published: a run can then be prolonged without a change.
        # Fused: one pass over 360 M weights, which saves 1.5 s of a step of SD 1.5 on a CPU.
        return torch.optim.AdamW(
            self.model.trainable_parameters(), lr=self.learning_rate, fused=True
        )

    def on_fit_start(self):
        """Begin the average, or go on with that of the checkpoint; the model is on its device."""
        if self.ema_decay is None:
            return
        trained = {
            name: value for name, value in self.model.named_parameters() if value.requires_grad
        }
        self.average = WeightAverage(trained, self.ema_decay)
        if self.saved_average:
            self.average.load_state_dict(self.saved_average)

    def optimizer_step(self, *args, **kwargs):
        """One step of the optimizer, whose weights then enter the average."""
        super().optimizer_step(*args, **kwargs)
        if self.average:  # here, not after the batch: a checkpoint may be written in between
            self.average.update()

    def on_validation_epoch_start(self):
        """Validate the averaged weights, where there are any."""
        if self.average:
            self.average.swap()

    def on_validation_epoch_end(self):
        """Go on with the weights of the last step, after all callbacks have used the average."""
        if self.average:
            self.average.swap()

    def on_save_checkpoint(self, checkpoint):
        """Keep the average beside the weights; in files of weights alone, in place of them."""
        if not self.average:
            return
        if "optimizer_states" in checkpoint:
            checkpoint[AVERAGES] = self.average.state_dict()
        else:
            checkpoint["state_dict"] = {**checkpoint["state_dict"], **self.average.values}

    def on_load_checkpoint(self, checkpoint):
        """Keep the average of a full checkpoint until `on_fit_start`."""
        self.saved_average = checkpoint.get(AVERAGES)

    def training_step(self, batch: Batch, batch_idx):
        """Loss of this process's samples; its mean over processes is that of the whole batch."""
        posterior_noise, t, noise = self._draw(batch)
        losses = self.model.sample_losses(*self._inputs(batch, posterior_noise), t, noise)  # (N,)
        # Not the mean: shares of processes may differ in size. The weights make the mean of these
        # sums over processes, which is what gradients are averaged to, the mean of the whole batch.
        loss = (losses * batch.weights).sum()
        log = {"train/loss_step": loss.detach()}
        self.log_dict(log, prog_bar=True, batch_size=len(batch.keys), sync_dist=True)
        return loss

    def validation_step(self, batch: Batch, batch_idx):
        """Loss on fixed noise and timesteps, and how much worse it gets with other samples' hints.

        The loss hardly falls while control is learned; that gap, `val/hint_gap`, shows it.
        """
        posterior_noise, _, noise = self._draw(batch)
        x_start, cond = self._inputs(batch, posterior_noise)
        # The loss varies far more between timesteps than between epochs, so t is never drawn anew.
        t = spread_timesteps([key.seed for key in batch.keys], self.model.num_timesteps)
        t = t.to(self.device)
        losses = self.model.sample_losses(x_start, cond, t, noise)  # (N,)
        shown = {
            "prog_bar": True,
            "on_epoch": True,
            "batch_size": batch.whole_batch,  # the weight of this batch in the epoch's mean
            "sync_dist": True,
        }
        self.log("val/loss", (losses * batch.weights).sum(), **shown)
        if batch.other_hints:
            cond = {**cond, "c_concat": batch.other_hints}
            # Same noise and timestep, so nothing but the hint makes the difference.
            worse = self.model.sample_losses(x_start, cond, t, noise) - losses
            self.log("val/hint_gap", (worse * batch.weights).sum(), **shown)

    def _draw(self, batch: Batch):
        """Posterior noise, timesteps and noise of a batch, on its device."""
        shape = self.model.latent_shape(*batch.hints[0].shape[2:])
        # On the CPU, whose generator gives the same numbers on every machine.
        drawn = draw_step_noise([key.seed for key in batch.keys], shape, self.model.num_timesteps)
        return (to_device(values, self.device) for values in drawn)

    def _inputs(self, batch: Batch, posterior_noise):
        """z, (N, C, h, w), and its conditions as the model's `apply_model` takes them."""
        posterior = self.encoders.posterior(batch)
        cond = {
            "c_crossattn": [self.encoders.contexts(batch.prompts)],
            "c_concat": batch.hints,
        }
        return self.model.scale_factor * posterior.sample(posterior_noise), cond


def _equal(own: torch.Tensor, value: torch.Tensor) -> bool:
    """Tell whether two tensors hold the same numbers on the same device."""
    return own.device == value.device and own.dtype == value.dtype and torch.equal(own, value)
