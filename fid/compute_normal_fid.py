"""FID of two folders of images in the features of an Inception v3 that was trained on photographs.

python fid/compute_normal_fid.py data/test/images my_synth_data/run_1/images --standard clean-fid
"""

from core.devices import pick_device
from fid.backbones import INCEPTION, load_inception
from fid.scoring import score_folders, score_parser
from share import run_script


def parse_args(argv=None):
    parser = score_parser(__doc__.split("\n\n")[0], 299, "inception_fid.json")
    parser.add_argument("--standard", choices=tuple(INCEPTION), default="torchvision",
                        help="torchvision: as the published script, comparable with nothing else; clean-fid, pytorch-fid: the weights of "
                             "published FIDs, resized with and without antialiasing")  # fmt: skip
    return parser.parse_args(argv)


def main(argv=None):
    args = parse_args(argv)
    device = pick_device(args.device)
    score_folders(
        args,
        lambda: load_inception(
            args.standard, args.image_size, args.weights_path, args.download_dir, device
        ),
    )


if __name__ == "__main__":
    run_script(main)
