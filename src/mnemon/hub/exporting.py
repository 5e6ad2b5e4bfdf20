import os
import secrets
import shutil
from pathlib import Path

from transformers import GenerationConfig

from mnemon.config import Problem
from mnemon.data import Tokenizer
from mnemon.hub.causal import MnemonForCausalLM
from mnemon.hub.tokens import fast_tokenizer
from mnemon.model import Transformer


def export(model: Transformer, tokenizer: Tokenizer, folder: Path | str) -> MnemonForCausalLM:
    """Write a model and its tokenizer for `from_pretrained`, whole or not at all; `folder` must be new or empty.

    Generation draws what our own draws: never the start id, nor an id that the tokenizer does not have.
    """
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise Problem(f"{folder}: already there; choose another folder")
    fast = fast_tokenizer(tokenizer)
    made = MnemonForCausalLM.of(model, bos_token_id=tokenizer.start, pad_token_id=fast.pad_token_id)
    never = [*range(tokenizer.vocab_size, model.config.vocab_size)]
    never += [] if tokenizer.start is None else [tokenizer.start]
    made.generation_config = GenerationConfig(
        bos_token_id=tokenizer.start, pad_token_id=fast.pad_token_id, suppress_tokens=never or None
    )
    folder.parent.mkdir(parents=True, exist_ok=True)
    begun = folder.resolve().with_name(f".{folder.name}.{secrets.token_hex(4)}")
    try:
        made.save_pretrained(begun)
        fast.save_pretrained(begun)
        if folder.exists():
            folder.rmdir()
        os.replace(begun, folder)
    finally:
        shutil.rmtree(begun, ignore_errors=True)
    return made
