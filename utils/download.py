"""Download published weights and data to where the other programs look for them.

    python utils/download.py --list
    python utils/download.py sd15 em-controlnet cem500k

A download that broke off goes on with the next call. Archives are unpacked. `--dry_run` prints
addresses and targets, for machines without a network. docs/licences.md has the licences.
"""

import os
from pathlib import Path

from annotator.network_detectors import (
    BODY_WEIGHTS,
    HAND_WEIGHTS,
    HED_WEIGHTS,
    MIDAS_WEIGHTS,
    MLSD_WEIGHTS,
    UNIFORMER_WEIGHTS,
)
from annotator.weights import CKPTS, CKPTS_VARIABLE
from core.command_line.option_sources import add_run_control, parse_all
from core.command_line.options import new_parser
from core.fetching.downloads import WeightsFile
from core.fetching.hub import HubFile
from core.fetching.items import Item, fetch
from fid.backbones import BACKBONES, WEIGHTS_DIR
from share import run_script

ULM = "https://viscom.datasets.uni-ulm.de/Natural2Nanoscale"
MODELS, DATA = Path("models"), Path("data")
DETECTORS = Path(os.environ.get(CKPTS_VARIABLE) or CKPTS)
DETECTOR_FILES = {
    "hed": (HED_WEIGHTS,),
    "mlsd": (MLSD_WEIGHTS,),
    "midas": (MIDAS_WEIGHTS,),
    "openpose": (BODY_WEIGHTS, HAND_WEIGHTS),
    "uniformer": (UNIFORMER_WEIGHTS,),
}
# Where train.py and generate.py look for them
WEIGHTS = ("EM_best_results.ckpt", "control_sd15_ini.ckpt")


def ulm(about: str, name: str, folder: Path) -> Item:
    """An archive of the paper's authors."""
    return Item(about, [WeightsFile(name, f"{ULM}/{name}")], folder, lifted=WEIGHTS)


SD15 = HubFile(
    "stable-diffusion-v1-5/stable-diffusion-v1-5", "v1-5-pruned.ckpt", "CreativeML OpenRAIL-M"
)
ITEMS = {
    "sd15": Item("Stable Diffusion 1.5", [SD15], MODELS),
    "em-controlnet": ulm("the paper's starting and EM weights", "ControlNet-Weights.zip", MODELS),
    "em-weights": ulm("all weights of the paper", "Weights.zip", MODELS),
    "em-data": Item(
        "the paper's images", [], DATA, "https://data.mendeley.com/datasets/9rdmnn2x4x/1"
    ),
    "em-generated": ulm("the paper's generated pairs", "Generated.zip", DATA),
    **{name: Item(f"detector {name}", files, DETECTORS) for name, files in DETECTOR_FILES.items()},
    **{name: Item(b.about, [b.weights], WEIGHTS_DIR) for name, b in BACKBONES.items()},
}


def parse_args(argv=None):
    """The options of the command line."""
    parser = new_parser(__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(ITEMS)}")
    listing = parser.add_argument_group("listing")
    listing.add_argument("--list", action="store_true", help="print what there is, and stop")
    add_run_control(parser)
    args = parse_all(parser, argv)
    unknown = [name for name in args.names if name not in ITEMS]
    if unknown or not (args.names or args.list):
        found = f"{unknown[0]} is not known" if unknown else "no name is given"
        parser.error(f"{found}, expected some of {', '.join(ITEMS)}")
    return args


def main(argv=None):
    args = parse_args(argv)
    chosen = ITEMS if args.list else {name: ITEMS[name] for name in args.names}
    plan = "\n".join(f"{name}: {item.describe()}" for name, item in chosen.items())
    if args.list or args.dry_run:
        print(plan if args.list else f"{plan}\ndry run: nothing was written")
        return
    for name, item in chosen.items():
        if not item.files:
            raise ValueError(
                f"{name}: no program can fetch it. Download it from {item.page} and unpack it to "
                f"{item.folder}/."
            )
    print(plan, flush=True)  # before the network is asked, which may not be there
    for item in chosen.values():
        for file in item.files:
            if item.target(file).exists():
                print(f"there already: {item.target(file)}")
                continue
            for path in fetch(item, file):
                print(f"new: {path}", flush=True)


if __name__ == "__main__":
    run_script(main)
