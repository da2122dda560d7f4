"""Human poses by OpenPose (Cao et al. 2017). Its weights are for non-commercial research only."""

from functools import partial
from pathlib import Path

import numpy as np
import torch

from annotator.detector import DrawMaps
from annotator.network_detectors import BODY_WEIGHTS, HAND_WEIGHTS, OpenposeOptions
from annotator.networks import load_network
from annotator.openpose.body import NUM_JOINTS, assemble
from annotator.openpose.draw import draw_hand, draw_people
from annotator.openpose.hand import hand_boxes, hand_joints
from annotator.openpose.maps import Sampler, full_size, network_input
from annotator.openpose.network import BodyNetwork, HandNetwork
from annotator.util import HWC3
from annotator.weights import further_weights

NETWORK_HEIGHT = 368  # pixels at which the networks see a picture, or a hand, at scale 1
BODY_SCALE = 0.5
HAND_SCALES = (0.5, 1.0, 1.5, 2.0)  # heat maps are averaged over these


class OpenposeDetector:
    """Skeletons of people, and their hands on request."""

    def __init__(self, weights: str | Path | None = None, device: str | torch.device = "cpu"):
        """Load the body's network.

        The hands' network is loaded when it is first needed, from the folder of the body's.

        Args:
            weights: of the body's network, as in `annotator.weights.find_checkpoint`.
        """
        self.device = device
        self.weights = weights
        self.body = load_network(BodyNetwork, BODY_WEIGHTS, weights, device)
        self.hand = None

    def __call__(self, img: np.ndarray, hand: bool = False) -> tuple[np.ndarray, dict[str, list]]:
        """Skeletons on black, uint8 RGB (H, W, 3), and what they were drawn from.

        Args:
            img: uint8 RGB (H, W, 3) of any size, or grey or RGBA.
            hand: draw hands too.
        Returns:
            the picture; and as lists `candidate` (x, y, score and number of each joint) and
            `subset` (people, see `body.assemble`).
        """
        return self.detect([img], hand)[0]

    @torch.inference_mode()
    def detect(
        self, images: list[np.ndarray], hand: bool = False
    ) -> list[tuple[np.ndarray, dict[str, list]]]:
        """Skeletons, as `__call__` gives them, of pictures of one size in one batch."""
        images = [HWC3(image) for image in images]
        height, width = images[0].shape[:2]
        # The published code averages over a list of scales, which holds this one alone.
        factor = BODY_SCALE * NETWORK_HEIGHT / height
        size = (factor, height, width)
        # Reversed channels: the network was trained on B, G, R.
        x = np.stack([network_input(image[..., ::-1], factor) for image in images])  # (N, 3, h, w)
        fields, heat = self.body(torch.from_numpy(x).to(self.device))  # (N, 38, h, w), (N, 19, ...)
        results = []
        for image, own_fields, own_heat in zip(images, fields, heat, strict=True):
            joint_heat = full_size(own_heat[:NUM_JOINTS], *size)  # (18, H, W)
            # Of the fields, twice as many maps, only pixels along limbs are read.
            candidate, subset = assemble(joint_heat, Sampler(own_fields, *size))
            canvas = draw_people(np.zeros_like(image), candidate, subset)
            if hand:
                for joints in self.find_hands(image, candidate, subset):
                    draw_hand(canvas, joints)
            results.append((canvas, {"candidate": candidate.tolist(), "subset": subset.tolist()}))
        return results

    def load_hand(self) -> None:
        """Load the hands' network, unless that has happened before."""
        if self.hand is None:
            weights = further_weights(self.weights)
            self.hand = load_network(HandNetwork, HAND_WEIGHTS, weights, self.device)

    @torch.inference_mode()
    def find_hands(
        self, image: np.ndarray, candidate: np.ndarray, subset: np.ndarray
    ) -> list[np.ndarray]:
        """Joints of every hand, each int64 (21, 2): x and y in pixels; (0, 0) where none was found.

        Args:
            image: uint8 RGB (H, W, 3).
            candidate, subset: of the picture, see `body.assemble`.
        """
        self.load_hand()
        hands = []
        for box in hand_boxes(candidate, subset, *image.shape[:2]):
            # Reversed channels: this network was trained on B, G, R too.
            crop = image[box.y : box.y + box.side, box.x : box.x + box.side, ::-1]  # (h, w, 3)
            heat = np.zeros((1, *crop.shape[:2]), np.float32)  # the first scale makes it 22 maps
            for scale in HAND_SCALES:
                factor = scale * NETWORK_HEIGHT / crop.shape[0]
                x = torch.from_numpy(network_input(crop, factor))[None].to(self.device)
                (maps,) = self.hand(x)  # (22, h, w)
                heat = heat + full_size(maps, factor, *crop.shape[:2]) / len(HAND_SCALES)
            joints = hand_joints(heat)  # (21, 2), from the corner of the box
            # As in the published code, each coordinate moves only if it is not 0.
            hands.append(np.where(joints > 0, joints + (box.x, box.y), 0))
        return hands


def draw_skeletons(
    detector: OpenposeDetector, hand: bool, pictures: list[np.ndarray]
) -> list[np.ndarray]:
    """Skeletons of the people in pictures of one size, each uint8 RGB (H, W, 3)."""
    return [canvas for canvas, _ in detector.detect(pictures, hand=hand)]


def make(
    options: OpenposeOptions, weights: str | Path | None, device: str | torch.device
) -> DrawMaps:
    """A function that draws the people of pictures."""
    return partial(draw_skeletons, OpenposeDetector(weights, device), options.openpose_hand)
