"""Text to token ids: CLIP's byte-pair encoding, from the vocabulary file that open_clip carries (no network)."""

from functools import lru_cache

import torch

BOS, EOS = 49406, 49407
VOCABULARY_SIZE = 49408
CONTEXT_LENGTH = 77


@lru_cache(maxsize=1)
def _bpe():
    from open_clip.tokenizer import (
        SimpleTokenizer,  # here, because open_clip takes seconds to import
    )

    return SimpleTokenizer()


def tokenize(texts: list[str], pad: int) -> torch.Tensor:
    """Ids (N, 77) int64: BOS, the text, EOS, then `pad`; longer texts are cut and end in EOS.

    Where cleaning differs between CLIP tokenizers (HTML entities, control characters), this one does what open_clip does.
    SD 1.x pads with EOS, SD 2.x with 0; the pads are read by the cross-attention, so the value matters.
    """
    ids = _bpe()(texts, context_length=CONTEXT_LENGTH)
    after_end = (ids == EOS).cumsum(dim=1) - (ids == EOS).long() > 0
    return ids.masked_fill(after_end, pad)
