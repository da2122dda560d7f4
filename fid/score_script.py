"""The command line of the two published scripts, which differ in networks and defaults alone."""

import argparse
from dataclasses import dataclass
from pathlib import Path

from core.command_line.option_sources import add_run_control, dry_run_text, parse_all
from core.command_line.options import add_options, dashed, new_parser, read_options
from core.files import check_writable
from core.imaging.image_options import ImageOptions, add_image_options
from fid.backbones.options import BackboneOptions
from fid.options import FeatureOptions, FidScoreOptions
from fid.results import ResultOptions, summary_text, write_result


@dataclass(frozen=True)
class ScoreScript:
    """A script that scores one folder of generated images against one of real images.

    Attributes:
        doc: the script's docstring.
        network: its defaults.
        network_flag: its name for the choice of the network, without dashes in front.
        result: its defaults.
    """

    doc: str
    network: BackboneOptions
    network_flag: str
    result: ResultOptions

    @property
    def network_flags(self) -> dict[str, str]:
        """The script's options for the fields of `network`."""
        return dashed(self.network, network=self.network_flag)

    def parse_args(self, argv=None) -> argparse.Namespace:
        """The command line; nothing is opened."""
        parser = new_parser(self.doc)
        parser.add_argument("real_dir", type=Path, help="real images, sub-folders included")
        parser.add_argument("gen_dir", type=Path, help="generated images, sub-folders included")
        add_options(parser, self.network, "network", flags=self.network_flags)
        add_options(parser, FeatureOptions, "run", flags=dashed(FeatureOptions))
        add_options(parser, FidScoreOptions, "scores", flags=dashed(FidScoreOptions))
        add_options(parser, self.result, "output", flags=dashed(ResultOptions))
        add_image_options(parser)
        add_run_control(parser)
        return parse_all(parser, argv)

    def main(self, argv=None) -> None:
        """Parse, score, print and write."""
        args = self.parse_args(argv)
        # Here, because what works loads torch, which takes longer than reading the options.
        from fid.scoring import read_sets, score_sets

        read_options(ImageOptions, args).apply()
        network = read_options(self.network, args, self.network_flags)
        reading = read_options(FeatureOptions, args, dashed(FeatureOptions))
        scores = read_options(FidScoreOptions, args, dashed(FidScoreOptions))
        output = read_options(self.result, args, dashed(ResultOptions))
        check_writable(output.output_json, "--output-json")
        # Checks take seconds and come first, features take minutes.
        sets = read_sets(args.real_dir, {"generated": args.gen_dir}, reading.skip_corrupt)
        if args.dry_run:
            plan = f"features of {network.network}, result in {output.output_json}"
            print(dry_run_text(vars(args), plan, hidden=["real_dir", "gen_dir"]))
            return
        result = score_sets(sets, network, reading, scores)["generated"]
        if output.data_volume:
            result["data_volume"] = output.data_volume
        print(summary_text(result))
        print(f"wrote {write_result(output.output_json, result)}")
