"""The image log of a training on typed batches."""

from cldm.logger import ImageLogger
from training.step.module import ControlTraining


class TrainingPreviews(ImageLogger):
    """`ImageLogger` for `ControlTraining`.

    Reconstructions come from latents, so an image that is no longer read can still be shown.
    """

    def unpack(self, pl_module: ControlTraining, batch):
        latents = pl_module.encoders.posterior(batch).mode()[: self.max_images]
        return pl_module.model, latents, batch.hints, batch.prompts
