"""Prompts: the texts that describe images to the text encoder."""

import ast
import re
from collections.abc import Sequence
from pathlib import Path

from core.command_line.options import option
from core.files import require_file

MAX_BYTES = 2**24  # of a file: 100,000 prompts have a tenth of this
PROMPTS = (
    "a FIB-SEM slice of a cell with nucleus and cytoplasm",
    "a focused ion beam scanning electron microscopy image of a cell",
    "an electron micrograph of a whole cell",
    "a grayscale electron microscopy image of biological tissue",
    "a FIB-SEM section through the middle of a cell",
    "a volume electron microscopy slice with a dark cell nucleus",
    "an EM image that shows nucleus, cytoplasm and background",
    "a high-resolution electron micrograph of cell ultrastructure",
    "a FIB-SEM image of a cell embedded in resin",
    "a cell with mitochondria and endoplasmic reticulum under the electron microscope",
    "a scanning electron microscopy cross-section of a cultured cell",
    "a serial block-face image of cellular membranes",
    "an electron microscopy picture of a nucleus with its envelope",
    "a slice of a FIB-SEM stack with fine membrane detail",
    "a backscattered electron image of a stained cell",
    "a grainy electron micrograph of cytoplasm full of organelles",
    "an isotropic FIB-SEM slice of a mammalian cell",
    "heavy-metal stained cell, electron microscopy, black and white",
    "a monochrome microscopy image of a cell and its surroundings",
    "a FIB-SEM picture of a cell with a large round nucleus",
    "an electron microscopy view of chromatin inside a nucleus",
    "the cell body and its plasma membrane in electron microscopy",
    "a nanometre-scale image of a cell interior",
    "an ultrathin section of a cell imaged with electrons",
    "a FIB-SEM frame with shot noise and faint curtaining",
    "a biological specimen imaged by focused ion beam milling",
    "a detailed EM slice of cell compartments",
    "two-dimensional slice of a three-dimensional cell volume, FIB-SEM",
    "an electron micrograph with vesicles scattered in the cytoplasm",
    "neighbouring cells separated by membranes, electron microscopy",
    "a low-contrast FIB-SEM image of soft tissue",
    "a sharp electron microscopy image of organelles around a nucleus",
    "electron microscopy of a cell on an empty resin background",
    "a raw FIB-SEM acquisition of a single cell",
    "a realistic scanning electron micrograph of cell structure",
    "a grey-level section of a cell with clearly visible nucleus border",
    "a cellular electron microscopy image suited for segmentation",
)


def prompts_option():
    """The option that names the file for `read_prompts`."""
    return option(
        None,
        Path,
        "FILE",
        f"one prompt per line, or a Python file that holds one list of texts, in place of the "
        f"{len(PROMPTS)} built-in prompts",
    )


def read_prompts(path: str | Path | None = None) -> tuple[str, ...]:
    """Prompts from a file; the built-in ones without a file.

    A text file has one prompt per line. It is UTF-8, its lines end in LF or CR LF, and no other
    sign splits a prompt. Blank lines and lines that start with # are skipped. Of a Python file the
    list of texts is read, as published code holds its prompts; nothing in it is run.

    Raises:
        FileNotFoundError: no such file.
        ValueError: no file, not text, or no prompt in it.
    """
    if path is None:
        return PROMPTS
    path = Path(path)
    require_file(path)
    if path.stat().st_size > MAX_BYTES:
        raise ValueError(f"{path}: larger than {MAX_BYTES >> 20} MiB, so it is no list of prompts")
    try:
        text = path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path}: not UTF-8 text ({error.reason} at byte {error.start}), "
            "expected one prompt per line"
        ) from error
    text = text.replace("\ufeff", "")  # byte order marks, which some editors put first
    if path.suffix == ".py":
        return _prompts_of_code(path, text)
    # Not `splitlines`, which also splits at form feeds and at the separators of Unicode.
    lines = [line.strip() for line in re.split("\r?\n", text)]
    prompts = tuple(line for line in lines if line and not line.startswith("#"))
    if not prompts:
        raise ValueError(f"{path}: holds no prompt, expected one per line")
    return prompts


def pick_prompt(prompts: Sequence[str], drop_share: float, place: float, drop: float) -> str:
    """The prompt at a random place of a list; the empty one for a share of the draws.

    Samples without a prompt teach the unconditional model of guidance (Ho & Salimans 2022).

    Args:
        drop_share: share of the empty prompt, 0 to 1.
        place, drop: two draws from [0, 1): of the place, and of the empty prompt.
    """
    return "" if drop < drop_share else prompts[int(place * len(prompts))]


def _prompts_of_code(path: str | Path, text: str) -> tuple[str, ...]:
    """The longest list of texts in Python source; raises ValueError where there is none, or two."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ValueError(f"{path}: not Python source ({error})") from error
    lists = {
        tuple(element.value.strip() for element in node.elts if element.value.strip())
        for node in ast.walk(tree)
        if isinstance(node, ast.List | ast.Tuple)
        and all(isinstance(e, ast.Constant) and isinstance(e.value, str) for e in node.elts)
    }
    found = sorted(lists, key=len, reverse=True)[:2]
    if not found or len(found[0]) < 2:
        raise ValueError(f"{path}: holds no list of texts")
    # Options of a script are lists of texts too, but shorter.
    if len(found) == 2 and len(found[0]) == len(found[1]):
        raise ValueError(
            f"{path}: holds several lists of {len(found[0])} texts. Copy the right one into a text "
            "file, one prompt per line."
        )
    return found[0]
