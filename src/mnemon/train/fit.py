from collections.abc import Callable, Iterable

from torch import nn

from mnemon.data import Batch
from mnemon.train.config import TrainConfig
from mnemon.train.trainer import Record, Trainer


def fit(
    model: nn.Module,
    batches: Iterable[Batch],
    config: TrainConfig,
    on_step: Callable[[Record], None] | None = None,
) -> list[Record]:
    """Train a model of your own on a stream of your own for `config.steps` steps, or until the stream ends.

    The model is moved nowhere and nothing is written; the records say how each step went. `batches` are `Lanes` of
    `config.lanes` rows, or anything that yields `Batch`es as they do.
    """
    trainer = Trainer(model, config)
    records = []
    for _, batch in zip(range(config.steps), batches, strict=False):
        records.append(trainer.advance(batch))
        if on_step is not None:
            on_step(records[-1])
    return records
