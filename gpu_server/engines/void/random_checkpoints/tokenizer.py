"""The tokenizer of random checkpoints: a small unigram model, always the same."""

from __future__ import annotations

import io
from pathlib import Path

from gpu_server.engines.void.random_checkpoints.configs import VOCABULARY, as_json
from void_bridge.atomic import write_bytes
from void_bridge.errors import UsageError

_PROMPT_TOKENS = 226
_SPECIAL = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
"""In the order of their ids."""
_SUBJECTS = ("a table", "the empty street", "two pillows", "a wooden floor", "the water", "a brick wall", "grass")
_PLACES = ("in the sun", "at night", "behind a window", "on the beach", "in a kitchen", "under a bridge", "by the road")
_EVENTS = ("A ball rolls over", "A cup falls on", "Nothing moves near", "Light passes over", "Dust settles on")


def write_tokenizer(folder: Path) -> None:
    """Write `spiece.model` and its configuration.

    Args:
        folder: the tokenizer's folder.

    Raises:
        UsageError: sentencepiece is not installed.
        OutputError: the folder cannot be written.
    """
    write_bytes(folder / "spiece.model", _train())
    write_bytes(folder / "special_tokens_map.json", as_json(_SPECIAL))
    config = {
        **_SPECIAL,
        "added_tokens_decoder": {
            str(i): {"content": token, "special": True} for i, token in enumerate(_SPECIAL.values())
        },
        "additional_special_tokens": [],
        "clean_up_tokenization_spaces": False,
        "extra_ids": 0,
        "legacy": True,
        "model_max_length": _PROMPT_TOKENS,
        "tokenizer_class": "T5Tokenizer",
    }
    write_bytes(folder / "tokenizer_config.json", as_json(config))


def _train() -> bytes:
    """Train the unigram model on `_sentences` and return it as a file stores it."""
    try:
        import sentencepiece
    except ImportError as exc:
        raise UsageError("init-tiny needs sentencepiece; install void-bridge[void]") from exc
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(_sentences()),
        model_writer=model,
        model_type="unigram",
        vocab_size=VOCABULARY,
        hard_vocab_limit=False,
        character_coverage=1.0,
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        num_threads=1,
        minloglevel=2,
    )
    return model.getvalue()


def _sentences() -> list[str]:
    """Return the sentences that the tokenizer is trained on."""
    alphabet = "abcdefghijklmnopqrstuvwxyz ABCDEFGHIJKLMNOPQRSTUVWXYZ 0123456789 .,;:!?'\"()-/&%"
    scenes = [f"{event} {subject} {place}." for event in _EVENTS for subject in _SUBJECTS for place in _PLACES]
    return [*scenes, *(f"{letter} {letter}{letter}" for letter in alphabet if letter != " "), alphabet]
