"""A table of results as CSV, Markdown and bars."""

import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from core.command_line.options import OptionError, option
from core.files import whole_file
from core.recording.records import read_checked
from fid.results import ComparableScore
from fid.scarce import FEW_IMAGES

NORMAL_95 = 1.96  # standard errors on either side that hold 95 % of a normal distribution
BAR_COLOUR = "#0072b2"
# "FID infinity" is the FID extrapolated to infinitely many images. The last three columns compare
# the FIDs of two real sets, and of a real and a generated set, of equal numbers of images.
COLUMNS = (
    "name",
    "n",
    "FID",
    "FID low",
    "FID high",
    "KID",
    "KID low",
    "KID high",
    "FID infinity",
    "real vs real",
    "same n",
    "n of both",
)


@dataclass(frozen=True)
class TableOptions:
    """Rows of a table, and where it is written."""

    generated: tuple[Path, ...] = option((), Path, "DIR", "folders of generated images", nargs="+")
    names: tuple[str, ...] | None = option(
        None, None, "TEXT", "one for each folder; their paths when not given", nargs="+"
    )
    results: tuple[Path, ...] = option(
        (),
        Path,
        "FILE",
        "JSON results to add, made the same way with the same real images",
        nargs="+",
    )
    output: Path = option(
        Path("fid_table"),
        Path,
        "DIR",
        "folder for table.csv, table.md, table.png and the results",
    )

    def check(self):
        """Raise OptionError where names do not fit the folders, or nothing is to be compared."""
        if self.names and len(self.names) != len(self.generated):
            message = f"found {len(self.names)} names for {len(self.generated)} folders"
            raise OptionError("names", message)
        # Rows are kept by name: of two equal ones the first would be lost.
        if self.names and len(set(self.names)) < len(self.names):
            raise OptionError("names", "found a name twice; each folder needs one of its own")
        for field, paths in (("generated", self.generated), ("results", self.results)):
            if len({path.resolve() for path in paths}) < len(paths):
                raise OptionError(field, "found a path twice; each row needs one of its own")
        if not self.generated and not self.results:
            raise OptionError("generated", "nothing to compare: give folders or earlier results")

    def folders(self) -> dict[str, Path]:
        """Folders of generated images by the names of their rows."""
        names = self.names or names_of(self.generated)
        return dict(zip(names, self.generated, strict=True))

    def result_files(self) -> dict[str, Path]:
        """Files of the results of all folders, by the names of their rows.

        Raises:
            OptionError: two results would have one file.
        """
        # Names may be parts of paths: "a/images" becomes a_images.json.
        files = {name: self.output / f"{name.replace(os.sep, '_')}.json" for name in self.folders()}
        owners = {}
        for name, file in files.items():
            if owners.setdefault(file, name) != name:
                raise OptionError(
                    "output",
                    f"the results of {owners[file]} and {name} would both be {file}. Give the "
                    "folders other `names`.",
                )
        return files


def read_results(
    paths: Sequence[Path], option: str, taken: Collection[str] = ()
) -> dict[str, dict]:
    """Results by name: the stems of their files, or what tells their paths apart.

    Args:
        option: the script's option for the files, for messages.
        taken: names of other rows.
    Raises:
        ValueError: a file is no result, or its row would have a name that is taken.
    """
    names = [path.stem for path in paths]
    if len({*names, *taken}) < len(names) + len(taken):
        names = names_of([path.with_suffix("") for path in paths])
    results = {}
    for name, path in zip(names, paths, strict=True):
        if name in taken:
            raise ValueError(
                f"{option} {path}: a folder's row is called {name} too. "
                "Rename the file, or give the folders other --names."
            )
        try:
            results[name] = read_checked(path, ComparableScore).model_dump()
        except ValueError as error:
            reason = str(error).removeprefix(f"{path}: ")
            raise ValueError(
                f"{option} {path}: not a result of these scripts ({reason})"
            ) from error
    return results


def names_of(folders: Sequence[Path]) -> list[str]:
    """Names that tell folders apart: their paths without the parts that all share at either end."""
    parts = [folder.resolve().parts for folder in folders]
    if len(parts) < 2:
        return [path[-1] for path in parts]
    shortest = min(map(len, parts))
    # At least one part of each path stays, or a folder would have no name.
    start = min(_shared(parts), shortest - 1)
    end = min(_shared([path[::-1] for path in parts]), shortest - start - 1)
    return ["/".join(path[start : len(path) - end]) for path in parts]


def _shared(paths: list[tuple[str, ...]]) -> int:
    """Number of parts that all paths share at their beginning."""
    count = 0
    for level in zip(*paths, strict=False):
        if len(set(level)) > 1:
            break
        count += 1
    return count


def row_of(name: str, result: dict) -> dict:
    """A table row of a result; a score that was not computed is an empty text."""
    row = dict.fromkeys(COLUMNS, "")
    row |= {"name": name, "n": result["num_generated"], "FID": result["fid"]}
    if result.get("kid") is not None:  # results of other versions may lack any of these
        row["KID"] = result["kid"]
        if result.get("kid_std") is not None:
            reach = NORMAL_95 * result["kid_std"]
            row |= {"KID low": result["kid"] - reach, "KID high": result["kid"] + reach}
    if result.get("fid_interval"):
        row["FID low"], row["FID high"] = result["fid_interval"]
    if result.get("floor_fid") is not None:
        row |= {
            "real vs real": result["floor_fid"],
            "same n": result.get("generated_fid_at_floor_size"),
            "n of both": result.get("floor_size"),
        }
    if result.get("scarce"):
        row["FID infinity"] = result.get("fid_infinity")
    return {column: "" if value is None else value for column, value in row.items()}


def write_markdown(path: Path, rows: list[dict], result: dict) -> None:
    """Write rows of `row_of` for readers, with a line on how they were made.

    Args:
        result: one of the results; all were made the same way.
    """
    lines = ["| " + " | ".join(COLUMNS) + " |", "| --- |" + " ---: |" * (len(COLUMNS) - 1)]
    for row in rows:
        lines.append("| " + " | ".join(_cell(column, row[column]) for column in COLUMNS) + " |")
    lines += [
        "",  # or the sentence would become a row
        f"{result['num_real']} real images of `{result['real_dir']}`; {result['backbone']}, "
        f"weights {result['weights_sha256'][:12]}, {result['image_size']} px, {result['resize']}. "
        "Ranges cover 95 %.",
    ]
    if len({row["n"] for row in rows}) > 1:
        lines += ["Numbers of images differ: compare KID, not FID."]
    if result.get("scarce"):
        lines += [
            f"Fewer than {FEW_IMAGES} images: FIDs are biased upwards; "
            "compare `same n` with `real vs real`."
        ]
    with whole_file(path) as temporary:
        temporary.write_text("\n".join(lines) + "\n")


def _cell(column: str, value) -> str:
    """A value of a row as the Markdown table shows it."""
    if column.startswith("KID") and value != "":
        return f"{value:.5f}"  # KID is a hundred times smaller than FID
    # A name with a bar or a line break would begin a cell or a row of its own.
    words = " ".join(str(value).split()).replace("|", r"\|")
    return f"{value:.3f}" if isinstance(value, float) else words


def draw_bars(path: Path, rows: list[dict]) -> None:
    """Draw FID and, where every row has it, KID, with their ranges, as a PNG."""
    # A missing bar would look like a score of 0.
    scores = [score for score in ("FID", "KID") if all(row[score] != "" for row in rows)]
    from matplotlib.figure import Figure  # here: it takes half a second to import

    figure = Figure(figsize=(5 * len(scores), 1 + 0.4 * len(rows)), layout="constrained")
    axes = figure.subplots(1, len(scores), sharey=True, squeeze=False)[0]
    for axis, score in zip(axes, scores, strict=True):
        axis.barh([row["name"] for row in rows], [row[score] for row in rows], color=BAR_COLOUR)
        for i, row in enumerate(rows):
            if row[f"{score} low"] != "":
                axis.plot([row[f"{score} low"], row[f"{score} high"]], [i, i], color="black")
        axis.set_xlabel(f"{score} (95 %)")
    axis.invert_yaxis()  # the first row on top; the axes share it
    with whole_file(path) as temporary:
        figure.savefig(temporary, dpi=120, format="png")
