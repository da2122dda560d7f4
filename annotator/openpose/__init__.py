"""Human poses by OpenPose (Cao et al. 2017). Its weights are for non-commercial research only."""

from pathlib import Path

import numpy as np
import torch

from annotator.networks import load_network, published
from annotator.openpose.body import NUM_JOINTS, assemble
from annotator.openpose.draw import draw_hand, draw_people
from annotator.openpose.hand import hand_boxes, hand_joints
from annotator.openpose.maps import Sampler, full_size, network_input
from annotator.openpose.network import BodyNetwork, HandNetwork
from annotator.util import HWC3

LICENCE = "non-commercial research only"
BODY_WEIGHTS = published("body_pose_model.pth", licence=LICENCE)
HAND_WEIGHTS = published("hand_pose_model.pth", licence=LICENCE)
NETWORK_HEIGHT = 368  # pixels at scale 1
BODY_SCALE = 0.5
HAND_SCALES = (0.5, 1.0, 1.5, 2.0)


class OpenposeDetector:
    """Skeletons of people, and their hands on request."""

    def __init__(self, weights: str | Path | None = None, device: str | torch.device = "cpu"):
        """`weights`: file of the body's network, or folder that holds it; otherwise looked for and downloaded, see `annotator.networks`.

        The hands' network is loaded when it is first needed, from beside the body's.
        """
        self.device = device
        self.weights = weights
        self.body = load_network(BodyNetwork, BODY_WEIGHTS, weights, device)
        self.hand = None

    def __call__(self, img: np.ndarray, hand: bool = False) -> tuple[np.ndarray, dict[str, list]]:
        """Skeletons on black, uint8 RGB (H, W, 3), and what they were drawn from.

        Args:
            img: uint8 RGB (H, W, 3) of any size; grey and RGBA are taken too.
        Returns:
            the picture; and `candidate` (x, y, score, number of each joint) and `subset` (people: see `body.assemble`) as lists.
        """
        return self.detect([img], hand)[0]

    @torch.inference_mode()
    def detect(
        self, images: list[np.ndarray], hand: bool = False
    ) -> list[tuple[np.ndarray, dict[str, list]]]:
        """As `__call__`, of pictures of one size together."""
        images = [HWC3(image) for image in images]
        height, width = images[0].shape[:2]
        factor = BODY_SCALE * NETWORK_HEIGHT / height
        x = np.stack([network_input(image[..., ::-1], factor) for image in images])
        results = []
        for image, fields, heat in zip(
            images, *self.body(torch.from_numpy(x).to(self.device)), strict=True
        ):
            size = factor, height, width
            candidate, subset = assemble(
                full_size(heat[:NUM_JOINTS], *size), Sampler(fields, *size)
            )
            canvas = draw_people(np.zeros_like(image), candidate, subset)
            if hand:
                for joints in self.find_hands(image, candidate, subset):
                    draw_hand(canvas, joints)
            results.append((canvas, {"candidate": candidate.tolist(), "subset": subset.tolist()}))
        return results

    def load_hand(self) -> None:
        """Load the hands' network where that has not happened."""
        if self.hand is None:
            is_file = self.weights is not None and Path(self.weights).is_file()
            self.hand = load_network(
                HandNetwork,
                HAND_WEIGHTS,
                Path(self.weights).parent if is_file else self.weights,
                self.device,
            )

    @torch.inference_mode()
    def find_hands(
        self, image: np.ndarray, candidate: np.ndarray, subset: np.ndarray
    ) -> list[np.ndarray]:
        """Joints of every hand, each int64 (21, 2) in pixels of the uint8 RGB picture; (0, 0) for one that was not found."""
        self.load_hand()
        hands = []
        for box in hand_boxes(candidate, subset, *image.shape[:2]):
            crop = image[box.y : box.y + box.side, box.x : box.x + box.side, ::-1]
            heat = np.zeros((1, *crop.shape[:2]), np.float32)
            for scale in HAND_SCALES:
                factor = scale * NETWORK_HEIGHT / crop.shape[0]
                maps = self.hand(
                    torch.from_numpy(network_input(crop, factor))[None].to(self.device)
                )[0]
                heat = heat + full_size(maps, factor, *crop.shape[:2]) / len(HAND_SCALES)
            joints = hand_joints(heat)
            hands.append(
                np.where(joints > 0, joints + (box.x, box.y), 0)
            )  # per coordinate, as published
        return hands
