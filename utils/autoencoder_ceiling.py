r"""Measure the cost of the autoencoder alone: real images against their own encode-decode.

    python utils/autoencoder_ceiling.py data/test/images --config models/cldm_v15.yaml \
        --model models/control_sd15_ini.ckpt --output ceiling

It reports PSNR, FID and KID between images and reconstructions, and the share of the power that is
left at each spatial frequency. No generator in front of this decoder can do better.
"""

from dataclasses import dataclass
from pathlib import Path

from cldm.options import DEFAULT_CONFIG
from core.command_line.groups import Group, add_groups, read_groups
from core.command_line.option_sources import add_run_control, dry_run_text, parse_all
from core.command_line.options import dashed, new_parser, option, read_options
from core.files import check_writable, write_json
from core.hardware.device_options import pick_device
from core.imaging.image_options import ImageOptions, add_image_options
from core.imaging.images import write_png
from core.imaging.pictures import tile
from fid.backbones.options import BackboneOptions
from fid.options import FeatureOptions, FidScoreOptions
from fid.results import describe, summary_text
from share import run_script


@dataclass(frozen=True)
class CeilingFileOptions:
    """The model with the autoencoder, and where the result is written."""

    config: Path = option(DEFAULT_CONFIG, Path, "YAML", "configuration of the model")
    model: Path = option(None, Path, "FILE", "checkpoint that holds the autoencoder", required=True)
    output: Path = option(
        Path("autoencoder_ceiling"), Path, "DIR", "folder for report.json and two pictures"
    )


# Images are reconstructed one by one, as they may differ in size: no batches, workers or cache.
READING_FLAGS = {"skip_corrupt": "skip-corrupt"}
GROUPS = {
    "files": Group(CeilingFileOptions, "files"),
    "network": Group(BackboneOptions, "network", dashed(BackboneOptions)),
    "reading": Group(FeatureOptions, "run", READING_FLAGS),
    "scores": Group(FidScoreOptions, "scores", dashed(FidScoreOptions)),
}
SHOWN = 6  # pairs in the picture


def parse_args(argv=None):
    """The options of the command line."""
    parser = new_parser(__doc__)
    parser.add_argument("real_dir", type=Path, help="real images")
    add_groups(parser, GROUPS)
    add_image_options(parser)
    add_run_control(parser)
    return parse_all(parser, argv)


def main(argv=None):
    args = parse_args(argv)
    # Here, because what works loads torch, which takes longer than reading the options.
    from cldm.model import create_first_stage
    from fid.backbones.loading import load_backbone
    from fid.images import read_folder
    from fid.reconstruction import draw_spectrum, measure_reconstructions
    from fid.scoring import compare

    read_options(ImageOptions, args).apply()
    options = read_groups(GROUPS, args)
    files, network = options["files"], options["network"]
    paths, _ = read_folder(args.real_dir, options["reading"].skip_corrupt)
    if args.dry_run:
        plan = f"features of {network.network}, all files go to {files.output}"
        print(dry_run_text(vars(args), plan, hidden=["real_dir"]))
        return
    check_writable(files.output / "report.json", "--output")
    device = pick_device(network.device)
    backbone = load_backbone(network)
    model = create_first_stage(files.config, files.model).to(device)
    measured = measure_reconstructions(paths, model, backbone, device, SHOWN)
    result = measured.fields() | describe(backbone)
    result |= compare(measured.real, measured.reconstructed, options["scores"])
    result |= {"real_dir": str(args.real_dir.resolve()), "model": str(files.model)}
    print(
        f"PSNR {result['psnr_db']:.2f} dB; {result['power_kept_upper_half']:.1%} of the power "
        "above 0.25 cycles per pixel is kept"
    )
    print(summary_text(result))
    report = files.output / "report.json"
    spectrum, pairs = files.output / "spectrum.png", files.output / "pairs.png"
    write_json(report, result)
    draw_spectrum(spectrum, *measured.spectra)
    write_png(pairs, tile(measured.shown))
    print(f"wrote {report}, {spectrum}, {pairs} (real | encoded and decoded)")


if __name__ == "__main__":
    run_script(main)
