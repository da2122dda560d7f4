"""Predictions of a model on a GPU that are replayed from CUDA graphs (`core.hardware.cuda_graphs`).

A call is recorded when its form comes for the second time: sizes of batches and images, the parts
of its conditions, control scales, precision. The first call launches every kernel once, and what
comes only once, such as the rest of a run, costs no recording.
"""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice

import torch

from cldm.controlnet import ControlledDiffusionModel
from core.hardware.cuda_graphs import Work, record, record_with_gradients


def record_drawing(model: ControlledDiffusionModel) -> None:
    """Have the predictions of a model recorded that draws images from now on.

    Its weights must stay where they are, and its attributes as they are.
    """
    pool = torch.cuda.graph_pool_handle()  # of all graphs: their results are copied at once
    recorder = partial(record, pool=pool)
    model.apply_model = RecordedPredictions(model.apply_model, recorder, gradients=False)


def record_training(model: ControlledDiffusionModel) -> None:
    """Have the predictions of a model that is trained recorded, with their gradients.

    Predictions without gradients, for validation, are left as they are.
    """

    def recorder(work, inputs):
        return record_with_gradients(work, inputs, model.trainable_parameters())

    model.apply_model = RecordedPredictions(model.apply_model, recorder, gradients=True)


class RecordedPredictions:
    """Stand-in for a model's `apply_model`.

    Args:
        predict: the model's own.
        recorder: function that records work with an example of its inputs.
        gradients: record calls that need gradients; else those that need none.
    """

    def __init__(
        self,
        predict: Callable,
        recorder: Callable[[Work, Sequence[torch.Tensor]], Work],
        gradients: bool,
    ):
        self.predict, self.recorder, self.gradients = predict, recorder, gradients
        self.seen: set = set()
        self.recorded: dict = {}

    def __call__(self, x_noisy, t, cond, control_scales=None):
        """As `ControlledDiffusionModel.apply_model`."""
        if torch.is_grad_enabled() != self.gradients:
            return self.predict(x_noisy, t, cond, control_scales)  # (N, 4, h, w)
        form = tuple((key, None if values is None else len(values)) for key, values in cond.items())
        tensors = [x_noisy, t, *(value for values in cond.values() for value in values or ())]
        scales = control_scales and tuple(control_scales)
        shapes = tuple((tensor.shape, tensor.dtype) for tensor in tensors)
        device = x_noisy.device.type
        mixed = torch.is_autocast_enabled(device) and torch.get_autocast_dtype(device)
        key = form, scales, shapes, mixed
        if key not in self.seen:
            self.seen.add(key)
            return self.predict(x_noisy, t, cond, control_scales)  # (N, 4, h, w)
        if key not in self.recorded:
            work = partial(_predict, self.predict, form, scales)
            self.recorded[key] = self.recorder(work, tensors)
        return self.recorded[key](*tensors)  # (N, 4, h, w)


def _predict(predict, form, control_scales, x_noisy, t, *parts):
    """Prediction from tensors alone, (N, 4, h, w); `form` says which parts `cond` is made of."""
    left = iter(parts)
    cond = {key: None if count is None else list(islice(left, count)) for key, count in form}
    return predict(x_noisy, t, cond, control_scales)  # (N, 4, h, w)
