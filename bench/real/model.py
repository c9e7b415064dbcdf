"""A tiny Llama without weights and a tokenizer of numbered words, in the files that vLLM reads.

vLLM draws the weights itself (`--load-format dummy`). A token is one word, and words stand between
blanks: any list of tokens survives being written as text and read again, which keeps the lengths
of the random prompts exact.
"""

import json
from pathlib import Path
from typing import Any

MAX_TOKENS = 1024

_WORDS = 2000
_SPECIAL = ("<unk>", "<s>", "</s>")


def write_model(directory: Path) -> None:
    """Write the model; the directory is made if absent."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, content in files().items():
        (directory / name).write_text(json.dumps(content, indent=1))


def files() -> dict[str, Any]:
    """The content of each file by its name."""
    return {
        "config.json": _architecture(),
        "tokenizer.json": _tokenizer(),
        "tokenizer_config.json": {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_max_length": MAX_TOKENS,
            "unk_token": "<unk>",
            "bos_token": "<s>",
            "eos_token": "</s>",
        },
    }


def _architecture() -> dict[str, Any]:
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": len(_SPECIAL) + _WORDS,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        # Heads of 32, the smallest that vLLM's attention for CPUs takes.
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "max_position_embeddings": MAX_TOKENS,
        "bos_token_id": _SPECIAL.index("<s>"),
        "eos_token_id": _SPECIAL.index("</s>"),
        "tie_word_embeddings": False,
        "dtype": "float32",
    }


def _tokenizer() -> dict[str, Any]:
    words = [*_SPECIAL, *(f"w{number}" for number in range(_WORDS))]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {
                "id": index,
                "content": word,
                "single_word": False,
                "lstrip": False,
                "rstrip": False,
                "normalized": False,
                "special": True,
            }
            for index, word in enumerate(_SPECIAL)
        ],
        "normalizer": None,
        "pre_tokenizer": {"type": "WhitespaceSplit"},
        "post_processor": None,
        "decoder": None,
        "model": {
            "type": "WordLevel",
            "vocab": {word: index for index, word in enumerate(words)},
            "unk_token": "<unk>",
        },
    }
