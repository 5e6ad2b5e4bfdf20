"""A small Llama with random weights and a tokenizer of bytes, for tests of what an attached memory does."""

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

LAYERS, HEADS, GROUPS, DIM = 3, 4, 2, 8


def llama(implementation: str = "sdpa", dtype: torch.dtype = torch.float64) -> LlamaForCausalLM:
    """The same weights every time."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=256,
        hidden_size=HEADS * DIM,
        intermediate_size=24,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        num_key_value_heads=GROUPS,
        attn_implementation=implementation,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=None,
        initializer_range=0.3,
    )
    return LlamaForCausalLM(config).to(dtype).eval()


def byte_tokenizer() -> PreTrainedTokenizerFast:
    """One token a byte, padded on the left."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = Tokenizer(models.BPE(vocab={letter: number for number, letter in enumerate(letters)}, merges=[]))
    tokens.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokens.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=tokens, pad_token=letters[0], padding_side="left")


def tokens(*shape: int, seed: int = 0) -> torch.Tensor:
    """Random tokens."""
    return torch.randint(2, 256, shape, generator=torch.Generator().manual_seed(seed))
