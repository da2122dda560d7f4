r"""Export a trained segmenter for bioimage.io: TorchScript, rdf.yaml and test tensors in a folder.

    python utils/export_segmenter.py models/segmenter.ckpt models/segmenter_bioimage \
        --authors "Jane Doe" --licence CC-BY-4.0 --class_names background cytoplasm nucleus

Programs that read models of bioimage.io take the folder, or a zip archive of its files.
"""

from pathlib import Path

from core.command_line.option_sources import add_run_control, dry_run_text, parse_all
from core.command_line.options import add_options, new_parser, option_names, read_options
from core.files import check_new_folder
from segmentation.options import BioimageOptions
from share import run_script


def parse_args(argv=None):
    """The options of the command line."""
    parser = new_parser(__doc__)
    parser.add_argument("checkpoint", type=Path, help="segmenter of train_segmenter.py")
    parser.add_argument("output", type=Path, help="new folder to write")
    add_options(parser, BioimageOptions, "description")
    add_run_control(parser)
    return parse_all(parser, argv)


def main(argv=None):
    args = parse_args(argv)
    # Here, because what works loads torch, which takes longer than reading the options.
    from segmentation.bioimage import write_package
    from segmentation.network import load_segmenter

    options = read_options(BioimageOptions, args)
    check_new_folder(args.output)
    model = load_segmenter(args.checkpoint)
    with option_names():
        names = options.names_of(model.architecture["num_classes"])
    plan = f"a model of {len(names)} classes ({', '.join(names)}): {args.output}"
    if args.dry_run:
        print(dry_run_text(vars(args), plan, hidden=["checkpoint", "output"]))
        return
    write_package(args.output, model, options, args.checkpoint)
    print(plan)


if __name__ == "__main__":
    run_script(main)
