"""The host of the study of attached memories: a small decoder of the Llama kind trained here without any memory."""

from collections.abc import Callable
from pathlib import Path

import torch

from mnemon.data import Corpus, DataConfig, Lanes, make_tokenizer
from mnemon.data.subwords import Subwords
from mnemon.hosts import HostModel, attach, detach
from mnemon.hosts.small import SmallConfig, plain_decoder
from mnemon.hosts.tokens import host_tokenizer, plain_tokenizer
from mnemon.train import Record, TrainConfig, fit

WINDOW = 128  # tokens that the host ever sees in its training
SHAPE = SmallConfig(dim=128, n_layers=4, n_heads=4, n_groups=2, head_dim=32, ffn_dim=512, window=WINDOW, pad=None)
DATA = DataConfig(source="python-env", tokenizer="bpe", vocab_size=1024)
TRAIN = TrainConfig(
    steps=2000,
    lanes=8,
    part=40_000,
    optimizer="muon",
    lr=2e-3,
    muon_lr=0.02,
    warmup=40,
    schedule="linear",
    decay=0.5,
    weight_decay=0.0,
    precision="bfloat16",
    threads=1,
)


def train_host(out: Path, corpus: Corpus, steps: int, seed: int, on_step: Callable[[Record], None]) -> Path:
    """Train the host on segments of `WINDOW` tokens, each on its own, and save it as transformers does."""
    subwords = make_tokenizer(DATA, corpus.train)
    assert isinstance(subwords, Subwords)
    tokenizer = host_tokenizer(subwords.library)
    torch.manual_seed(seed)
    host = plain_decoder(SHAPE.replace(vocab_size=subwords.vocab_size))
    model = HostModel(attach(host, tokenizer, segment=WINDOW, overlap=0), size=0)
    train = TRAIN.replace(steps=steps, seed=seed)
    lanes = Lanes(corpus.train, plain_tokenizer(tokenizer), train.lanes, WINDOW, seed, part=train.part)
    fit(model, lanes, train, on_step)
    detach(host)
    host.save_pretrained(out)
    tokenizer.save_pretrained(out)
    return out
