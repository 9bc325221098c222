"""A prompt as the model reads it: T5 embeddings of 226 tokens, padded, without an attention mask, as the reference."""

from __future__ import annotations

import re
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase, T5EncoderModel

TOKENS = 226


@dataclass(frozen=True)
class PromptEmbeddings:
    """values: shape [1, 226, D], on the CPU, in the encoder's type.

    cut: the end of the prompt that did not fit, from the first word that was not read whole; '' where all of it fit.
    """

    values: Tensor
    cut: str


@torch.no_grad()
def prompt_embeddings(tokenizer: PreTrainedTokenizerBase, encoder: T5EncoderModel, text: str) -> PromptEmbeddings:
    """Embed a prompt of any length; '' is the usual negative prompt."""
    tokens = tokenizer(text, padding="max_length", max_length=TOKENS, truncation=True, return_tensors="pt")
    values = encoder(tokens.input_ids.to(encoder.device))[0]
    return PromptEmbeddings(values.cpu(), truncated_text(tokenizer, text))


def truncated_text(tokenizer: PreTrainedTokenizerBase, text: str) -> str:
    """The end of a prompt that is past 226 tokens, the last of which marks the end; '' where the prompt fits."""
    spans = tokenizer(text, return_offsets_mapping=True, verbose=False).offset_mapping
    if len(spans) <= TOKENS:
        return ""
    first_unread = spans[TOKENS - 1][0]
    return next((text[word.start() :] for word in re.finditer(r"\S+", text) if word.end() > first_unread), "")
