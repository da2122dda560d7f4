"""The overview and the page of a run, made of pictures of noise."""

import json
from html.parser import HTMLParser

import numpy as np
import pytest

from core.imaging.images import read_image, write_png
from core.imaging.pictures import GAP, LINE, class_colours, evenly
from generation.reporting import report

VOID = ("meta", "br", "img")
OPTIONS = {
    "sampler": "ddim",
    "ddim_steps": 7,
    "strength": 2.0,
    "scale": 9.0,
    "seed": 5,
    "num_classes": 3,
    "edge_dirs": ["membrane=a b"],
    "mask_dir": "m",
    "rgba_dir": None,
}


class Page(HTMLParser):
    """Elements of a page; fails where they do not nest."""

    def __init__(self, text):
        super().__init__()
        self.open, self.found, self.words = [], [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.found if name == tag]


@pytest.fixture
def make_run(tmp_path):
    """Function from the numbers of conditions and copies to a run folder and its examples.

    The pictures are noise, which compresses worst.
    """

    def make(conditions, copies, source="cell_{}.png", prompt="a cell"):
        run_dir = tmp_path / "run_x"
        for folder in ("images", "conditions/mask", "conditions/membrane"):
            (run_dir / folder).mkdir(parents=True)
        record = {
            "command": "python generate.py --prompts_file '<b>.txt'",
            "started": "now",
            "args": {},
            "python": "3.11",
            "versions": {"torch": "2"},
            "git_revision": None,
        }
        (run_dir / "args.json").write_text(json.dumps(record))
        rng = np.random.default_rng(0)

        def line(k):
            name = f"cond{k // copies}_batch{k % copies + 1}_sample0.png"
            write_png(
                run_dir / "images" / f"image_{name}",
                rng.integers(0, 256, (64, 96, 3), dtype=np.uint8),
            )
            write_png(
                run_dir / "conditions" / "mask" / f"mask_{name}",
                np.full((64, 96), k // copies % 3, np.uint8),
            )
            write_png(
                run_dir / "conditions" / "membrane" / f"membrane_{name}",
                rng.integers(0, 256, (64, 96), dtype=np.uint8),
            )
            return {
                "image": f"images/image_{name}",
                "conditions": {
                    key: f"conditions/{key}/{key}_{name}" for key in ("mask", "membrane")
                },
                "sources": {"mask": "masks/" + source.format(k // copies)},
                "prompt": prompt,
                "seed": k,
                "weights": {"mask": "a1b2", "base": "c3d4"},
                "options": {"strengths": {"mask": 1.0}},
            }

        return run_dir, [
            [line(k) for k in group]
            for group in report.examples_of(range(conditions * copies), lambda k: k // copies)
        ]

    return make


def numbers(pictures, planned=None, conditions=2):
    return {
        "done": pictures,
        "planned": planned or pictures,
        "num_conditions": conditions,
        "label_folders": {"mask"},
        "prompts": ["a cell", "b"],
        "options": OPTIONS | {"n_augmentations_per_mask": pictures // conditions},
    }


def test_sample_is_spread_over_the_conditions_that_have_pictures():
    def in_tens(k):
        return k // 10

    shown = [group[0] // 10 for group in report.examples_of(range(1000), in_tens)]
    assert shown == list(range(0, 100, 9))
    assert report.examples_of([3, 4, 9, 10, 11], lambda k: k // 5) == [[3, 4], [9], [10, 11]]
    assert all(len(group) == 4 for group in report.examples_of(range(1000), in_tens))
    assert evenly("abcde", 3) == ["a", "c", "e"] and evenly("ab", 9) == ["a", "b"]


def test_page_is_whole_and_needs_no_network(make_run):
    run_dir, sample = make_run(30, 6)
    report.write_report(run_dir, sample, **numbers(180, conditions=30))
    text = (run_dir / "report.html").read_text()
    page = Page(text)
    assert len(page.all("img")) == 12 * (2 + 4) and all(
        image["src"].startswith("data:image/webp;base64,") and image["alt"]
        for image in page.all("img")
    )
    assert "http" not in text and not page.all("script") and not page.all("link")
    assert all((run_dir / link["href"]).is_file() for link in page.all("a"))
    words = " ".join(" ".join(page.words).split())
    for shown in ("12 of 30 conditions", "seed 3", "a1b2", "c3d4", "membrane=a b", "ddim, 7 steps"):
        assert shown in words
    assert "missing" not in words and "Scores" not in words
    assert len(text) < 700_000  # of pure noise; micrographs take less
    assert not [path for path in run_dir.iterdir() if path.name.startswith(".")]


def test_names_and_prompts_are_escaped(make_run):
    run_dir, sample = make_run(
        1, 1, source='<img src=x onerror="a">.png', prompt="<script>alert(1)</script> & 'b'"
    )
    report.write_report(run_dir, sample, **numbers(1, planned=1200))
    page = Page((run_dir / "report.html").read_text())
    assert not page.all("script") and len(page.all("img")) == 3
    assert page.all("img")[0]["alt"] == 'mask of <img src=x onerror="a">.png'
    assert (
        "<script>alert(1)</script> & 'b'" in page.words
        and "1,199 images are still missing. " in page.words
    )


def test_scores_in_the_run_folder_are_shown(make_run):
    run_dir, sample = make_run(1, 2)
    score = {"fid": 12.0, "kid": 0.01234, "kid_std": 0.002, "num_real": 9, "num_generated": 2}
    score |= {"backbone": "cem500k", "image_size": 224, "real_dir": "r", "gen_dir": "g"}
    (run_dir / "cem_fid.json").write_text(json.dumps(score))
    report.write_report(run_dir, sample, **numbers(2))
    words = " ".join(Page((run_dir / "report.html").read_text()).words)
    assert "Scores" in words and "0.0123 ± 0.002" in words


def test_overview_shows_conditions_and_results_side_by_side(make_run):
    run_dir, sample = make_run(2, 1)
    report.write_report(run_dir, sample, **numbers(2))
    overview = read_image(run_dir / "overview.png")
    top = GAP + 3 * LINE + GAP + 10  # below the title, the heads and the first row's name
    assert np.allclose(overview[top, 3 * GAP], class_colours(np.array(0)), atol=1 / 255)
    assert overview[:LINE].min() < 0.5  # letters


def test_overview_of_a_run_that_has_just_begun():
    """Narrow rows stand in columns; the second column has fewer images than the first."""
    shown = report.Picture("x.png", np.full((32, 32, 3), 0.5, np.float32))
    rows = [
        report.Row(f"cell_{i}", {"mask": shown}, [(shown, {})] * count)
        for i, count in enumerate((3, 1))
    ]
    assert report.draw_overview(rows, "2 conditions").shape[2] == 3
