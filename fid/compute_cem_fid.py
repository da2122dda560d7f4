"""CEM-FID: Frechet distance of real and generated electron micrographs in the features of a network trained on electron micrographs.

python fid/compute_cem_fid.py data/test/images my_synth_data/run_1/images
"""

from core.devices import pick_device
from fid.backbones import CEM, load_cem
from fid.scoring import score_folders, score_parser
from share import run_script


def parse_args(argv=None):
    parser = score_parser(__doc__.split("\n\n")[0], 224, "cem_fid.json")
    parser.add_argument(
        "--backbone", choices=tuple(CEM), default="cem500k", help="cem500k: MoCo v2; cem1.5m: SwAV"
    )
    return parser.parse_args(argv)


def main(argv=None):
    args = parse_args(argv)
    device = pick_device(args.device)
    score_folders(
        args,
        lambda: load_cem(
            args.backbone, args.image_size, args.weights_path, args.download_dir, device
        ),
    )


if __name__ == "__main__":
    run_script(main)
