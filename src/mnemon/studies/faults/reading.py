from collections.abc import Callable
from pathlib import Path

import torch

from mnemon.hosts import Keeping, Memory, MemoryConfig, Source, remember
from mnemon.hosts.small import SmallConfig, small_decoder, small_tokenizer
from mnemon.memory import is_memory
from mnemon.studies.faults.texts import text

SMALL = SmallConfig(vocab_size=300, dim=16, n_layers=2, n_heads=2, head_dim=8, ffn_dim=16)
REMEMBERS = MemoryConfig(layers=(0, 1), segment=16, overlap=4, top_k=4)


def read(place: Path, done: Callable[[int], None]) -> None:
    """What `mnemon remember --replace` does, called in `place`, with the files in texts and the memory m.

    `done` is told how many documents are said to be kept.
    """
    model = small_decoder(SMALL, torch.Generator().manual_seed(0)).eval()
    tokenizer = small_tokenizer([text(0)], SMALL.vocab_size)
    memory = Memory(model, tokenizer, REMEMBERS)
    if is_memory(place / "m"):
        memory = Memory.load(place / "m", model, verify=True)
    paths = sorted((place / "texts").iterdir())
    # Told by their places within the folder, as the document's source is kept.
    found = [Source(str(each.relative_to(place)), each.relative_to(place), each.read_text()) for each in paths]

    def note(behind: int, total: int, said: str) -> None:
        done(int(said.split(", ")[1].removesuffix(" kept")))

    remember(Keeping(memory, place / "m"), found, replace=True, note=note)
