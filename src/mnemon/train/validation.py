from itertools import islice

import torch

from mnemon.data import Lanes
from mnemon.model import MemoryState, computing
from mnemon.train.trainer import Trainer


def validate(trainer: Trainer, lanes: Lanes, batches: int) -> float:
    """Nats a token over so many batches of `lanes`, read from their beginning with a memory of its own.

    All ranks read together, each its own lanes, and all are given the loss over all of them.
    """
    model, ranks, precision = trainer.model, trainer.ranks, trainer.config.precision
    own = ranks.share(lanes.rows)
    state: MemoryState = model.init_state(own.stop - own.start)
    nll, tokens, training = torch.zeros(()), 0, model.training
    model.eval()
    for batch in islice(lanes, batches):
        tokens += int((batch.targets >= 0).sum())
        state.reset(batch.starts[own])
        fed, targets = (each[own].to(trainer.device) for each in (batch.tokens, batch.targets))
        with torch.no_grad(), computing(trainer.device, precision):
            found, _, update = trainer.engine.forward(fed, targets, state, batch.lengths[own])
        state.commit(update, batch.ends[own])
        nll += found.cpu()
    model.train(training)
    return float(ranks.sum(nll)) / max(tokens, 1)
