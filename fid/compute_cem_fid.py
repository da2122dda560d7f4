"""CEM-FID: the Frechet distance of two folders in features of a network for electron micrographs.

    python fid/compute_cem_fid.py data/test/images my_synth_data/run_1/images

Prints the distance, which is 0 for equal distributions.
"""

from pathlib import Path

from fid.backbones import BACKBONES
from fid.backbones.options import CemOptions
from fid.notebooks import MODEL_CONFIGS, compute_fid
from fid.results import ResultOptions
from fid.score_script import ScoreScript
from share import run_script

__all__ = ["MODEL_CONFIGS", "compute_fid"]  # notebooks import these from here

SCRIPT = ScoreScript(
    __doc__,
    CemOptions(image_size=BACKBONES["cem500k"].preprocessing.size),
    "backbone",
    ResultOptions(output_json=Path("cem_fid.json")),
)
parse_args, main = SCRIPT.parse_args, SCRIPT.main


if __name__ == "__main__":
    run_script(main)
