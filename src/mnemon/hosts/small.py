from collections.abc import Iterable

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import nn
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

from mnemon.config import Config
from mnemon.hosts.memory import Memory
from mnemon.hosts.support import attentions

START = "<start>"


class SmallConfig(Config):
    """The shape of a small decoder: Qwen3's classes, whose queries and keys are normalised.

    `n_groups` key/value heads, as many as heads where none are given; feed-forward layers are `ffn_dim` wide, or 3 dim.
    `pad`: the token that is none, whose embedding is zero.
    """

    vocab_size: int = 512
    dim: int = 128
    n_layers: int = 3
    n_heads: int = 4
    head_dim: int = 32
    window: int = 64
    n_groups: int | None = None
    ffn_dim: int | None = None
    pad: int | None = 0


def plain_decoder(config: SmallConfig) -> Qwen3ForCausalLM:
    """A decoder of transformers' own classes, with the random weights that these give it."""
    return Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=config.vocab_size,
            hidden_size=config.dim,
            intermediate_size=config.ffn_dim or 3 * config.dim,
            num_hidden_layers=config.n_layers,
            num_attention_heads=config.n_heads,
            num_key_value_heads=config.n_groups or config.n_heads,
            head_dim=config.head_dim,
            max_position_embeddings=16 * config.window,  # of which it is to see one window
            bos_token_id=None,
            eos_token_id=None,
            pad_token_id=config.pad,
        )
    )


def small_decoder(config: SmallConfig, generator: torch.Generator) -> Qwen3ForCausalLM:
    """A `plain_decoder` of other random weights: std 1 / sqrt(inputs), half of that where a residual branch ends;
    embeddings of std 1.
    """
    model = plain_decoder(config)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.ndim < 2:
                continue
            ends = name.endswith(("o_proj.weight", "down_proj.weight"))
            std = 1.0 if "embed_tokens" in name else (0.5 if ends else 1.0) * weight.shape[1] ** -0.5
            weight.copy_(std * torch.randn(weight.shape, generator=generator))
    return model


def alike(memory: Memory, sharpness: float) -> None:
    """In layers with a memory of a `small_decoder`: W_q = W_k, and queries of length `sharpness` times the usual.

    What comes up again then meets what was remembered in the same words from the first step on.
    """
    modules = attentions(memory.model)
    with torch.no_grad():
        for layer in memory.layers:
            query, key = (modules[layer].get_submodule(name) for name in ("q_proj", "k_proj"))
            assert isinstance(query, nn.Linear)
            assert isinstance(key, nn.Linear)
            key.weight.copy_(query.weight)
            modules[layer].get_parameter("q_norm.weight").fill_(sharpness)


def small_tokenizer(texts: Iterable[str], vocab_size: int) -> PreTrainedTokenizerFast:
    """Byte-level BPE, trained on the texts, in which every digit is a token of its own; it pads at the left."""
    library = Tokenizer(models.BPE())
    library.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    library.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size, special_tokens=[START], initial_alphabet=alphabet, show_progress=False
    )
    library.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=library, pad_token=START, padding_side="left")
