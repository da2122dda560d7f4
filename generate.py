"""Turn condition pictures into images with a trained ControlNet.

    python generate.py --model_weights_path models/EM_best_results.ckpt --mask_dir data/test/masks

The folder of the run holds the images, their masks and a report; `--resume_run` completes it.
"""

from importlib import import_module

from core.command_line.groups import add_groups, read_groups
from core.command_line.option_sources import (
    add_run_control,
    dry_run_text,
    naming_record,
    parse_given,
    plain,
    refuse_changes,
    with_defaults,
)
from core.command_line.options import new_parser, read_options
from core.notices import notify, report
from core.recording.records import RECORD
from generation.presets import with_preset
from generation.run_options import options_of_run
from generation.settings import DETECTOR_GROUPS, FREE_ON_RESUME, GROUPS, Settings
from share import run_script

# Names that notebooks import from here, with their modules
FOR_NOTEBOOKS = {
    "ConditionDefinition": "generation.notebooks",
    "MultiConditionControlNet": "cldm.multi",
    "load_generation_state": "generation.folder.published_state",
    "process": "generation.notebooks",
    "save_generation_state": "generation.folder.published_state",
}
__all__ = list(FOR_NOTEBOOKS)


def __getattr__(name: str):
    """A name of `FOR_NOTEBOOKS`, imported when it is asked for: its module loads torch."""
    if name not in FOR_NOTEBOOKS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(FOR_NOTEBOOKS[name]), name)


def build_parser():
    """The parser with all groups of options."""
    parser = new_parser(__doc__)
    add_groups(parser, GROUPS)
    add_groups(parser, DETECTOR_GROUPS)
    add_run_control(parser)
    return parser


def parse_args(argv=None):
    """The checked settings; `--resume_run` supplies the saved run's options."""
    parser = build_parser()
    given = parse_given(parser, argv)
    args = with_defaults(parser, with_preset(given))
    if args.resume_run:
        # The folder says how images are made: with other options they would not belong together.
        saved = options_of_run(args.resume_run)
        # An option that is newer than the run had its default then.
        before = plain(vars(with_defaults(parser, {}))) | saved
        refuse_changes(given, before, FREE_ON_RESUME, "--resume_run")
        args = with_defaults(parser, given, saved, args.resume_run / RECORD)
    with naming_record(args.resume_run):
        # Of the detector in use: options of the others are not checked, as nothing reads them.
        drawn = read_options(DETECTOR_GROUPS[args.edge_detector].options, args)
        groups = read_groups(GROUPS, args)
        settings = Settings(**groups, drawn_edges=drawn, dry_run=args.dry_run, values=vars(args))
        settings.check()
    # Only what the user gave: a default that is not read surprises nobody.
    for name, reason in settings.unused().items():
        if name in given:
            notify(f"--{name} is ignored {reason}")
    return settings


def main(argv=None):
    """Check everything, then make the images."""
    settings = parse_args(argv)
    # Here, because what works loads torch, which takes longer than reading the options.
    from generation.making import make_images
    from generation.preparing import prepare
    from generation.summary import files_text, plan_text

    settings.images.apply()
    prepared = prepare(settings)
    run, exports = prepared.run, prepared.exports
    report(f"{run.headline(settings.shard)}, on {settings.model.device_type}")
    if settings.dry_run:
        plan = plan_text(run, len(prepared.pending), settings.sampling, exports)
        report(f"\n{dry_run_text(run.options, plan)}")
        return
    make_images(prepared, settings)
    report(files_text(run))
    exports.write(run.folder)


if __name__ == "__main__":
    run_script(main)
