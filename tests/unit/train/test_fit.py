from torch import Tensor, nn

import tiny
from mnemon.data import Lanes
from mnemon.data.byte_tokens import Bytes
from mnemon.model import Attention, AttentionConfig, MemoryState, Output
from mnemon.pools import Fresh, KNNConfig, LocalConfig
from mnemon.positions.rotary import RotaryConfig
from mnemon.train import TrainConfig, fit

CONFIG = TrainConfig(steps=12, lanes=3, warmup=2, lr=1e-2)


def lanes(epochs: int | None = None) -> Lanes:
    return Lanes(tiny.documents(), Bytes(), 3, 16, seed=0, epochs=epochs)


class Scores(nn.Module):
    """A head of one's own."""

    def __init__(self) -> None:
        super().__init__()
        self.out = nn.Linear(32, 257)

    def nll(self, hidden: Tensor, targets: Tensor) -> Tensor:
        logits = self.out(hidden).flatten(0, 1)
        return nn.functional.cross_entropy(logits, targets.flatten(), reduction="none").view(targets.shape)


class Mine(nn.Module):
    """A model of one's own around one attention layer with memory."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.head = nn.Embedding(257, 32), Scores()
        shape = (32, 2, 16)
        pools = {
            "local": LocalConfig().build(*shape, 16, 16, 0),
            "knn": KNNConfig(size=32, top_k=2).build(*shape, 16, 16, 0),
        }
        self.attention = Attention(*shape, pools, 16, 16, RotaryConfig().build(*shape), AttentionConfig())

    def init_state(self, rows: int, memory: int | None = None) -> MemoryState:
        return self.attention.init_state(rows, memory)

    def forward(self, tokens: Tensor, state: MemoryState, lengths: Tensor | None = None) -> tuple[Output, list[Fresh]]:
        x, fresh, _ = self.attention(self.embedding(tokens), state.layer())
        return Output(x, x.new_zeros(())), [Fresh(**{**vars(fresh), "lengths": lengths})]

    def project_(self) -> None:
        """Nothing is constrained here."""


def test_a_model_of_ones_own_is_trained_on_a_stream_of_ones_own() -> None:
    batches = (batch for batch in lanes())
    records = fit(Mine(), batches, CONFIG)
    assert records[-1]["loss"] < records[0]["loss"] - 0.5


def test_training_without_a_folder_reports_each_step() -> None:
    seen: list[float] = []
    records = fit(tiny.model().build(), lanes(), CONFIG, on_step=lambda record: seen.append(record["loss"]))
    assert [record["step"] for record in records] == list(range(1, 13))
    assert seen == [record["loss"] for record in records]


def test_a_stream_that_ends_ends_the_training() -> None:
    batches = len(list(lanes(epochs=1)))
    records = fit(tiny.model().build(), lanes(epochs=1), CONFIG.replace(steps=batches + 50))
    assert len(records) == batches
