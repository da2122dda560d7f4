"""Switches of the published demonstrations, for all models of a process.

Importing this module changes nothing; each function says what it changes.
"""

import logging

from ldm.modules.encoders.modules import FrozenCLIPEmbedder

LONG_PROMPT_CHUNKS = 3  # of 75 tokens; as many as the published demonstrations read
CHATTY_LOGGERS = ("pytorch_lightning", "lightning_fabric", "open_clip", "transformers")


def disable_verbosity() -> None:
    """Show only the errors of libraries that log much."""
    for name in CHATTY_LOGGERS:
        logging.getLogger(name).setLevel(logging.ERROR)


def enable_sliced_attention() -> None:
    """Do nothing: attention here never holds the whole matrix of scores.

    Published demonstrations call this on cards with little memory. It cuts the attention into
    slices there; torch's `scaled_dot_product_attention` does so by itself.
    """


def hack_everything(clip_skip: int = 0, chunks: int = LONG_PROMPT_CHUNKS) -> None:
    """Let the text encoders of SD 1.x skip layers and read long prompts.

    It holds for all of them in this process, present and future; those of SD 2.x stay as they are.
    Prompts and their empty counterpart get contexts of equal length, (N, 77 * chunks, width).

    Args:
        clip_skip: read the states before the last `clip_skip - 1` layers; 0 and 1 skip none.
        chunks: number of parts of 75 tokens that a prompt has room for; 1 for the plain encoder.
    Raises:
        ValueError: a negative `clip_skip`, or fewer chunks than 1.
    """
    if clip_skip < 0:
        raise ValueError(f"clip_skip {clip_skip}, expected 0 or more")
    if chunks < 1:
        raise ValueError(f"chunks {chunks}, expected 1 or more")
    disable_verbosity()
    FrozenCLIPEmbedder.clip_skip, FrozenCLIPEmbedder.chunks = clip_skip, chunks
