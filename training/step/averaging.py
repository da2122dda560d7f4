"""A running average of the trained weights, which often draws better than the last ones."""

from collections.abc import Mapping

import torch

AVERAGES = "averaged_weights"  # key in a full checkpoint


class WeightAverage:
    """Exponential moving average of parameters (Song et al. 2021, "Score-based", App. H).

    The decay begins low and grows, so that the first weights are soon forgotten.

    Args:
        parameters: those that are trained, by name; `swap` alone changes them.
        decay: of the average in the long run, in [0, 1).

    Attributes:
        values: the averages by name.
        updates: number of weights that are in the average.
    """

    def __init__(self, parameters: Mapping[str, torch.nn.Parameter], decay: float):
        self.parameters, self.decay, self.updates = dict(parameters), decay, 0
        self.values = {name: value.detach().clone() for name, value in self.parameters.items()}

    @torch.no_grad()
    def update(self) -> None:
        """Let the weights of now enter the average."""
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        for name, average in self.values.items():
            average.lerp_(self.parameters[name], 1 - decay)

    def swap(self) -> None:
        """Exchange the parameters' values and their averages."""
        for name, parameter in self.parameters.items():
            parameter.data, self.values[name] = self.values[name], parameter.data

    def state_dict(self) -> dict:
        """The average, as `load_state_dict` takes it."""
        return {"updates": self.updates, "values": dict(self.values)}

    def load_state_dict(self, state: Mapping) -> None:
        """Go on from an average that was saved.

        Raises:
            ValueError: it is of other parameters.
        """
        if state["values"].keys() != self.values.keys():
            raise ValueError("the averaged weights in the checkpoint are of other parameters")
        self.updates = state["updates"]
        for name, average in self.values.items():
            average.copy_(state["values"][name])
