from typing import Any

from torch import nn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from mnemon.model import Transformer


class Projection(TrainerCallback):
    """For `Trainer(callbacks=[Projection()])`: after each optimiser step, constrained parameters return to their range.

    Models with an adaptive span need it; all others are left as they are.
    """

    def on_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        model: nn.Module = kwargs["model"]
        for module in model.modules():
            if isinstance(module, Transformer):
                module.project_()
