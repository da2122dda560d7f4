"""FID of two folders of images in the features of an Inception v3 that was trained on photographs.

    python fid/compute_normal_fid.py data/test/images my_run/images --standard clean-fid

Prints the distance, which is 0 for equal distributions.
"""

from pathlib import Path

from fid.backbones import BACKBONES
from fid.backbones.options import InceptionOptions
from fid.notebooks import compute_fid
from fid.results import ResultOptions
from fid.score_script import ScoreScript
from share import run_script

__all__ = ["compute_fid"]  # notebooks import it from here

SCRIPT = ScoreScript(
    __doc__,
    InceptionOptions(image_size=BACKBONES["torchvision"].preprocessing.size),
    "standard",
    ResultOptions(output_json=Path("inception_fid.json")),
)
parse_args, main = SCRIPT.parse_args, SCRIPT.main


if __name__ == "__main__":
    run_script(main)
