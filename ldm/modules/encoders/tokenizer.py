"""Text to token ids by CLIP's byte-pair encoding.

The vocabulary file comes with open_clip, so nothing is downloaded.
"""

from collections.abc import Sequence
from functools import lru_cache
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path

import torch

from core.notices import notify

BOS, EOS = 49406, 49407  # ids of the tokens that begin and end a text
VOCABULARY_SIZE = 49408
CONTEXT_LENGTH = 77  # tokens, BOS and EOS included


@lru_cache(maxsize=1)
def _bpe():
    """open_clip's tokenizer, from its file alone: the package loads torchvision and timm."""
    package = find_spec("open_clip").submodule_search_locations[0]
    spec = spec_from_file_location("open_clip_tokenizer", Path(package) / "tokenizer.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.SimpleTokenizer()


def notify_of_cut(texts: Sequence[str], source: str | Path) -> None:
    """Warn of texts that `tokenize` cuts, whose ends the model never sees.

    Args:
        source: where the texts come from, for the message.
    """
    room = CONTEXT_LENGTH - 2  # beside BOS and EOS
    # A token stands for at least one byte, so the vocabulary is not read for short texts.
    long = [text for text in texts if len(text.encode()) > room]
    cut = [(text, size) for text in long if (size := len(_bpe().encode(text))) > room]
    if cut:
        text, size = cut[0]
        notify(
            f"{source}: {len(cut)} of {len(texts)} prompts are longer than {room} tokens and are "
            f"cut, the first ({size} tokens) is {text[:60]!r}. Shorten them."
        )


def tokenize(texts: list[str], pad: int) -> torch.Tensor:
    """Ids (N, 77) int64: BOS, the text, EOS, then `pad`; longer texts are cut and end in EOS.

    CLIP tokenizers clean texts differently (HTML entities, control characters); this one does what
    open_clip does.

    Args:
        pad: EOS for SD 1.x, 0 for SD 2.x. The cross-attention reads the pads, so the value matters.
    """
    ids = _bpe()(texts, context_length=CONTEXT_LENGTH)  # (N, 77), padded with 0
    ends = ids == EOS
    after_end = ends.cumsum(dim=1) - ends.long() > 0  # (N, 77): right of the first EOS
    return ids.masked_fill(after_end, pad)  # (N, 77)


def tokenize_chunks(texts: list[str], pad: int, chunks: int) -> torch.Tensor:
    """Ids (N, chunks, 77) int64: the tokens of each text in parts of 75.

    Each part stands between BOS and EOS, like a text of its own. Parts beyond the text are empty.

    Args:
        pad: as in `tokenize`.
    Raises:
        ValueError: a text is too long for so many chunks.
    """
    size = CONTEXT_LENGTH - 2  # 75 tokens between BOS and EOS
    ids = torch.full((len(texts), chunks, CONTEXT_LENGTH), pad)  # (N, chunks, 77)
    ids[:, :, 0] = BOS
    for i, text in enumerate(texts):
        tokens = _bpe().encode(text)
        if len(tokens) > size * chunks:
            raise ValueError(
                f"prompt of {len(tokens)} tokens, expected at most {size * chunks}: {text[:60]!r}"
            )
        for j in range(chunks):
            part = tokens[j * size : (j + 1) * size]
            ids[i, j, 1 : 2 + len(part)] = torch.tensor([*part, EOS])
    return ids
