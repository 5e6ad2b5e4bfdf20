import random
from pathlib import Path

import pytest

# A model and texts as small as the command line can make them.
SMALL = [
    "--train.lanes=2",
    "--train.checkpoint-every=2",
    "--model.dim=8",
    "--model.n-layers=2",
    "--model.n-heads=2",
    "--model.head-dim=4",
    "--model.segment=32",
    "--model.window=16",
    "--model.feedforward.dim=16",
    "--model.pools.knn.layers=1",
    "--model.pools.knn.size=64",
    "--model.pools.knn.top-k=4",
    "--data.tokenizer=bytes",
    "--data.vocab-size=None",
]


@pytest.fixture(scope="session")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of eight documents that repeat their own words."""
    folder = tmp_path_factory.mktemp("texts")
    for number in range(8):
        draw = random.Random(number)
        names = [f"name{draw.randrange(1000)}" for _ in range(5)]
        lines = (f"{draw.choice(names)} = {draw.choice(names)} + {draw.randrange(10)}" for _ in range(10))
        (folder / f"{number}.txt").write_text("\n".join(lines))
    return folder


@pytest.fixture(scope="session")
def small() -> list[str]:
    """Flags that make `memorizing-tiny` small."""
    return SMALL
