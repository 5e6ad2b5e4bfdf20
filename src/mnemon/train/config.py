from typing import Literal, Self

from pydantic import Field, model_validator

from mnemon.config import Config
from mnemon.data import DataConfig
from mnemon.model import ModelConfig, Precision
from mnemon.train.schedule import Schedule


class TrainConfig(Config):
    """How a model is trained: optimiser, learning rate, lanes, precision, checkpoints."""

    steps: int = Field(1000, ge=1, description="optimiser steps")
    lanes: int = Field(8, ge=1, description="documents read side by side, all micro-batches together")
    segment: int | None = Field(None, ge=1, description="tokens a lane and step (default: the model's)")
    part: int | None = Field(None, ge=1, description="characters after which a document is cut in two (null: never)")
    accumulate: int = Field(1, ge=1, description="micro-batches a step; each always holds the same lanes")
    optimizer: str = Field("adamw", description="adamw, or muon for the projections inside blocks with adamw elsewhere")
    lr: float = Field(2e-3, gt=0, description="highest learning rate")
    muon_lr: float = Field(0.02, gt=0, description="highest learning rate of muon")
    betas: tuple[float, float] = Field((0.9, 0.95), description="decay of the two moments of adamw")
    eps: float = Field(1e-8, gt=0, description="what adamw adds to the root of the second moment")
    weight_decay: float = Field(0.01, ge=0, description="decay of parameters of two or more dimensions")
    schedule: Schedule = Field("cosine", description="learning rate after warm-up")
    warmup: int = Field(100, ge=0, description="steps over which the learning rate rises")
    decay: float = Field(1.0, ge=0, le=1, description="last share of the steps in which linear and cosine fall")
    floor: float = Field(0.0, ge=0, le=1, description="share of the learning rate left when they have fallen")
    clip: float | None = Field(1.0, gt=0, description="largest norm of the gradient (null: any)")
    precision: Precision = Field("float32", description="of the forward pass; weights stay in float32")
    device: Literal["auto", "cpu", "cuda", "mps"] = Field("auto", description="where to train (auto: cuda, mps, cpu)")
    threads: int | None = Field(None, ge=1, description="threads of a CPU (default: as they are)")
    seed: int = Field(0, ge=0, description="start values, order of documents, dropout")
    checkpoint_every: int = Field(500, ge=1, description="steps between checkpoints")
    keep: int = Field(2, ge=1, description="checkpoints kept")

    @model_validator(mode="after")
    def _lanes_fit(self) -> Self:
        if self.lanes % self.accumulate:
            raise ValueError(f"lanes {self.lanes} cannot be dealt to accumulate {self.accumulate} equal micro-batches")
        return self


class RunConfig(Config):
    """Everything that a run is made of; `config.json` of a run folder holds it resolved."""

    recipe: str
    model: ModelConfig
    data: DataConfig = DataConfig()
    train: TrainConfig = TrainConfig()
