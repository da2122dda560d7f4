"""Lines of the manifest of images that were never drawn."""

import dataclasses
from pathlib import Path

from generation.folder.image_line import image_line


def line_of(run, planned, **options):
    return image_line(planned, run.branches, run.options | options, {"mask": "0f", "d": "1e"})


def test_a_line_names_the_files_of_an_image_and_how_it_is_made(new_run):
    run = new_run()
    line = line_of(run, run.plan[2], sampler="dpmpp", max_pixels=7)
    ending = "cond1_batch1_sample0.png"
    assert line["image"] == f"images/image_{ending}" and line["mask"] == f"masks/image_{ending}"
    assert line["conditions"] == {
        "mask": f"conditions/mask/mask_{ending}",
        "d": f"conditions/d/d_{ending}",
    }
    assert [Path(path).name for path in line["sources"].values()] == ["c1.png", "c1.png"]
    assert list(line["sources"]) == ["mask", "d"] and line["weights"] == {"mask": "0f", "d": "1e"}
    assert line["options"]["sampler"] == "dpmpp" and "max_pixels" not in line["options"]
    assert line["options"]["strengths"] == {"mask": 1.0, "d": 1.0}


def test_a_line_has_no_mask_where_no_condition_carries_labels(new_run):
    run = new_run(names=("d",))
    assert line_of(run, run.plan[0])["mask"] is None


def test_a_line_says_what_few_runs_have_only_where_it_is_so(new_run):
    run = new_run()
    rare = {"encode_ratio", "encoded_image", "grain", "stack"}
    assert not rare & line_of(run, run.plan[0], grain=None, stack=None)["options"].keys()
    files = dataclasses.replace(run.plan[0].conditions, image=Path("real.tif"))
    planned = dataclasses.replace(run.plan[0], conditions=files, encode_ratio=0.5)
    options = line_of(run, planned, grain=Path("g.json"), stack=16.0)["options"]
    assert {name: options[name] for name in rare} == {
        "encode_ratio": 0.5,
        "encoded_image": "real.tif",
        "grain": "g.json",
        "stack": 16.0,
    }


def test_a_line_has_the_options_of_the_gate_that_judged_the_image(new_run):
    run = new_run()
    gate = {"min_agreement": 0.7, "max_redraws": 0, "ignore_ratio": None, "resample": False}
    judged = line_of(run, run.plan[0], gate_segmenter=Path("s.ckpt"), **gate)["options"]
    assert {name: judged[name] for name in gate} == gate
    assert not gate.keys() & line_of(run, run.plan[0], **gate)["options"].keys()
