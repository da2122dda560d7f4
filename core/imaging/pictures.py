"""Pictures of arrays for people to look at."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from core.imaging.images import to_uint8
from core.imaging.labels import IGNORE

# Of classes 0, 1, 2, ...: black, then the palette of Okabe and Ito, whose colours colour-blind
# readers can tell apart.
COLOURS = np.array(
    [[0, 0, 0], [0, 114, 178], [240, 228, 66], [213, 94, 0],
     [0, 158, 115], [204, 121, 167], [86, 180, 233], [230, 159, 0]],
    dtype=np.float32,
) / 255  # fmt: skip
OVERVIEW = "overview.png"  # in folders that programs write, for people
GAP = 2  # white pixels between tiles
FONT_SIZE, LINE = 15, 22  # pixels: of letters, and of a line of them
GLYPH_WIDTH = 0.55  # of a letter, in units of the font size


def class_colours(labels: np.ndarray) -> np.ndarray:
    """Class indices (H, W) as colours, float32 (H, W, 3) in [0, 1]; they repeat after eight.

    Pixels marked with IGNORE are white.
    """
    return np.where(labels[..., None] == IGNORE, 1, COLOURS[labels % len(COLOURS)])


def evenly(items: Sequence, number: int) -> list:
    """Up to `number` of the items, evenly spread, the first and the last among them."""
    places = np.linspace(0, len(items) - 1, min(number, len(items))).round().astype(int)
    return [items[i] for i in np.unique(places)]


def to_image(picture: np.ndarray) -> Image.Image:
    """Float (H, W, 3) in [0, 1] as a Pillow image."""
    return Image.fromarray(to_uint8(picture))


def scale_longer_side(picture: np.ndarray, side: int) -> np.ndarray:
    """A picture, float (H, W, 3) in [0, 1], scaled so that its longer side has `side` pixels."""
    height, width = picture.shape[:2]
    size = [max(1, round(n * side / max(height, width))) for n in (width, height)]
    # Lanczos and bicubic filters would ring at the borders of classes.
    small = to_image(picture).resize(size, Image.Resampling.HAMMING)
    return np.asarray(small) / np.float32(255)


def write_line(words: str, width: int) -> np.ndarray:
    """Black words on white, uint8 (LINE, width, 3); words that are too long lose their middle."""
    font = ImageFont.load_default(FONT_SIZE)
    shown, kept = words, len(words)
    while kept > 1 and font.getlength(shown) > width:
        kept -= 1
        shown = f"{words[: (kept + 1) // 2]}…{words[len(words) - kept // 2 :]}"
    line = Image.new("RGB", (width, LINE), "white")
    ImageDraw.Draw(line).text((0, LINE // 2), shown, fill="black", font=font, anchor="lm")
    return np.asarray(line)


def tile(
    rows: Sequence[Sequence[np.ndarray]], heads: Sequence[str] = (), titles: Sequence[str] = ()
) -> np.ndarray:
    """Pictures in a grid on white, uint8 (H, W, 3).

    Args:
        rows: pictures, float (H, W, 3) in [0, 1]; sizes may differ and rows may be short.
        heads, titles: words above each column and above each row.
    """
    head, title = (LINE if words else 0 for words in (heads, titles))  # pixels
    # A cell is as large as the largest picture, with the gap on its right and below.
    cell_h = max(picture.shape[0] for row in rows for picture in row) + title + GAP
    cell_w = max(picture.shape[1] for row in rows for picture in row) + GAP
    height, width = head + GAP + cell_h * len(rows), GAP + cell_w * max(map(len, rows))
    sheet = np.full((height, width, 3), 255, dtype=np.uint8)
    for j, words in enumerate(heads):
        _paste(sheet, write_line(words, cell_w - GAP), 0, GAP + j * cell_w)
    for i, row in enumerate(rows):
        top = head + GAP + i * cell_h
        if titles:
            _paste(sheet, write_line(titles[i], width - GAP), top, GAP)
        for j, picture in enumerate(row):
            _paste(sheet, to_uint8(picture), top + title, GAP + j * cell_w)
    return sheet


def _paste(sheet: np.ndarray, pixels: np.ndarray, top: int, left: int) -> None:
    """Write pixels, uint8 (h, w, 3), into `sheet`, uint8 (H, W, 3), in place."""
    sheet[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels


def prompt_to_pixels(prompts: Sequence[str], size: tuple[int, int]) -> np.ndarray:
    """Each prompt written on white, uint8 (N, H, W, 3); `size` is (H, W)."""
    height, width = size
    font_size = max(8, width // 20)
    columns = max(8, int(width / (GLYPH_WIDTH * font_size)))
    font, pictures = ImageFont.load_default(font_size), []
    for prompt in prompts:
        lines = [""]  # filled word by word; a word longer than a line gets its own
        for word in prompt.split():
            if lines[-1] and len(lines[-1]) + 1 + len(word) > columns:
                lines.append("")
            lines[-1] = f"{lines[-1]} {word}".strip()
        picture = Image.new("RGB", (width, height), "white")
        ImageDraw.Draw(picture).multiline_text((4, 4), "\n".join(lines), fill="black", font=font)
        pictures.append(np.asarray(picture))
    return np.stack(pictures)


def centre(pixels: np.ndarray, side: int) -> np.ndarray:
    """The centre of a picture (H, W, 3), at most `side` pixels high and wide."""
    top, left = (max(0, length - side) // 2 for length in pixels.shape[:2])
    return pixels[top : top + side, left : left + side]
