"""T5 embeddings of a prompt: 226 tokens, padded, without an attention mask, as in the reference."""

from __future__ import annotations

import re

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase, T5EncoderModel

TOKENS = 226


@torch.no_grad()
def prompt_embeddings(tokenizer: PreTrainedTokenizerBase, encoder: T5EncoderModel, text: str) -> Tensor:
    """Embed a prompt; tokens past the 226th are dropped.

    Args:
        tokenizer: of the checkpoint.
        encoder: the text encoder; the prompt is moved to its device.
        text: the prompt; "" is the usual negative prompt.

    Returns:
        Shape [1, 226, D], in the encoder's type, on the CPU.
    """
    tokens = tokenizer(text, padding="max_length", max_length=TOKENS, truncation=True, return_tensors="pt")
    return encoder(tokens.input_ids.to(encoder.device))[0].cpu()


def truncated_text(tokenizer: PreTrainedTokenizerBase, text: str) -> str:
    """Return the end of a prompt that the model does not read, from its first incomplete word on.

    The last of the 226 tokens marks the end of the text. The result is "" if the prompt fits.
    """
    spans = tokenizer(text, return_offsets_mapping=True, verbose=False).offset_mapping
    if len(spans) <= TOKENS:
        return ""
    first_unread = spans[TOKENS - 1][0]
    return next((text[word.start() :] for word in re.finditer(r"\S+", text) if word.end() > first_unread), "")
