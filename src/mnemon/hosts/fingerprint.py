import hashlib
import json

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

SAMPLE = 256  # values of each tensor that the digest looks at
OWN = "memory_gate"  # the submodule that a memory adds


def weights_digest(model: PreTrainedModel) -> str:
    """The model's type, and a digest of every weight's name, shape and up to 256 of its values spread over it."""
    digest = hashlib.sha256()
    for name, weight in sorted(model.named_parameters()):
        if OWN in name:
            continue
        digest.update(f"{name} {tuple(weight.shape)}".encode())
        flat = weight.detach().flatten()
        sample = flat[:: max(1, len(flat) // SAMPLE)].to("cpu", torch.float32).contiguous()
        digest.update(sample.numpy().tobytes())
    return f"{model.config.model_type} {digest.hexdigest()[:16]}"


def tokenizer_digest(tokenizer: PreTrainedTokenizerBase | None) -> str:
    """A digest of the vocabulary; "none" without a tokenizer."""
    if tokenizer is None:
        return "none"
    words = json.dumps(sorted(tokenizer.get_vocab().items()), ensure_ascii=True)
    return hashlib.sha256(words.encode()).hexdigest()[:16]
