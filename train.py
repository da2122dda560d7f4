r"""Fine-tune the control branch of a ControlNet on images and conditions (Zhang et al. 2023).

    python train.py --image_path data/train/images --mask_path data/train/masks \
        --resume_path models/control_sd15_ini.ckpt
"""

import argparse

from core.command_line.groups import add_groups, read_groups, secret_names
from core.command_line.option_sources import (
    add_run_control,
    dry_run_text,
    naming_record,
    parse_given,
    refuse_changes,
    with_defaults,
)
from core.command_line.options import new_parser, option_names
from core.recording.records import RECORD
from core.recording.run_files import can_restore
from core.signals import requeue_at_once
from share import run_script
from training.processes import count_processes, name_run
from training.run_options import FREE_ON_RESUME, GROUPS, TrainingOptions, read_saved_options


def build_parser() -> argparse.ArgumentParser:
    """The parser with all groups of options."""
    parser = new_parser(__doc__)
    add_groups(parser, GROUPS)
    add_run_control(parser)
    return parser


def parse_args(argv=None) -> TrainingOptions:
    """The checked options; those of the continued run where they are not given.

    A run is continued where `--resume_training` names it, and where `--run_id` names one that is
    there already.
    """
    parser = build_parser()
    given = parse_given(parser, argv)
    args = with_defaults(parser, given)
    resumed, option = args.resume_training, "--resume_training"
    # A requeued job runs the same command again and must go on, not start anew.
    if args.run_id and not resumed and can_restore(args.output_root / args.run_id):
        resumed, option = args.output_root / args.run_id, "--run_id"
    if resumed:
        saved = read_saved_options(resumed, option)
        refuse_changes(given, saved, FREE_ON_RESUME, option)
        args = with_defaults(parser, given, saved, resumed / RECORD)
    args.resume_training = resumed  # also where --run_id named the run
    with naming_record(resumed):
        groups = read_groups(GROUPS, args)
        options = TrainingOptions(**groups, dry_run=args.dry_run, values=vars(args))
        options.check()
    return options


@requeue_at_once()  # outside of the steps nothing is lost: files are whole
def main(argv=None):
    """Check everything, then train."""
    options = parse_args(argv)
    # Here, because what works loads torch, which takes longer than reading the options.
    from cldm.configuration import image_side, read_config
    from core.notices import report
    from segmentation.judge import judge_of
    from training.data.datasets import build_datasets
    from training.execution import execute
    from training.run import TrainingRun
    from training.summary import plan_text

    options.images.apply()
    config_path, samples = options.model.cldm_config_path, options.samples
    output, resumed = options.output, options.resuming.resume_training
    with naming_record(resumed):
        with option_names():
            size = image_side(read_config(config_path), samples.image_size, config_path)
        datasets = build_datasets(options.data, options.conditions, samples, size)
        judge = judge_of(options.agreement.agreement_segmenter, datasets.train.condition)
        # Files are checked by now.
        processes = count_processes(options.processes, has_name=bool(output.run_id or resumed))
        run_dir = resumed or output.output_root / name_run(output.run_id, processes)
        run = TrainingRun(options, datasets, processes, run_dir)
        plan = plan_text(options, datasets, processes, run_dir)
    if options.dry_run:
        if resumed:
            run.check_folder()
        report(dry_run_text(options.values, plan, hidden=secret_names(GROUPS)))
        return
    if not processes.on_gpu:
        why = "" if options.processes.gpus == 0 else ": no GPU found"
        report(f"training on the CPU{why}")
    report(plan)
    execute(run, judge.counts if judge else None)


if __name__ == "__main__":
    run_script(main)
