import re

from torch import nn
from torch.optim import Muon, Optimizer

from mnemon.train.adamw import adamw_over
from mnemon.train.config import TrainConfig

BLOCK = re.compile(r"(^|\.)(blocks|layers|h)\.\d+")  # in the names of what is inside a block, ours and those of hosts


def muon(model: nn.Module, config: TrainConfig) -> list[Optimizer]:
    """Muon for the projections inside blocks, AdamW for everything else: tables, persistent vectors, gains, the head.

    Muon makes each step of a matrix orthogonal, U V^T of its momentum's singular vectors, by five Newton-Schulz
    iterations (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/; arXiv 2502.16982).
    """
    projections = [
        module.weight
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and BLOCK.search(name) and module.weight.requires_grad
    ]
    taken = {id(weight) for weight in projections}
    others = adamw_over((p for p in model.parameters() if id(p) not in taken), config)
    if not projections:
        return [others]
    return [Muon(projections, lr=config.muon_lr, weight_decay=config.weight_decay), others]
