from collections.abc import Callable
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from mnemon.config import Config, Problem
from mnemon.data import DataConfig
from mnemon.model import ModelConfig, Precision
from mnemon.train.schedule import Schedule

Parallel = Literal["auto", "ddp", "fsdp"]


class TrainConfig(Config):
    """How a model is trained: optimiser, learning rate, lanes, precision, checkpoints."""

    steps: int = Field(1000, ge=1, description="optimiser steps")
    lanes: int = Field(
        8, ge=0, description="documents read side by side, all ranks and micro-batches together (0: step_tokens)"
    )
    segment: int | None = Field(None, ge=1, description="tokens a lane and step (default: the model's)")
    step_tokens: int | None = Field(None, ge=1, description="tokens a step; with lanes 0, lanes are this / segment")
    part: int | None = Field(None, ge=1, description="characters after which a document is cut in two (null: never)")
    accumulate: int = Field(1, ge=1, description="micro-batches a step; each always holds the same lanes")
    optimizer: str = Field(
        "adamw", description="adamw, adagrad, adafactor, or muon for projections and adamw elsewhere"
    )
    lr: float = Field(2e-3, gt=0, description="highest learning rate")
    muon_lr: float = Field(0.02, gt=0, description="highest learning rate of muon")
    betas: tuple[float, float] = Field((0.9, 0.95), description="decay of the two moments of adamw")
    eps: float = Field(1e-8, gt=0, description="what adamw and adagrad add to the root of the second moment")
    adagrad_clip: float | None = Field(None, gt=0, description="norm above which adagrad slows a tensor (null: any)")
    adafactor_momentum: float = Field(0.0, ge=0, lt=1, description="momentum of adafactor (0: none)")
    weight_decay: float = Field(0.01, ge=0, description="decay of parameters of two or more dimensions")
    schedule: Schedule = Field("cosine", description="learning rate after warm-up")
    warmup: int = Field(100, ge=0, description="steps over which the learning rate rises")
    decay: float = Field(1.0, ge=0, le=1, description="last share of the steps in which linear and cosine fall")
    floor: float = Field(0.0, ge=0, le=1, description="share of the learning rate left when they have fallen")
    fine_tune: int = Field(0, ge=0, description="last steps, at a share of the learning rate")
    fine_tune_share: float = Field(0.1, gt=0, le=1, description="that share")
    drift_every: int | None = Field(None, ge=1, description="steps between looks at how far stored keys have drifted")
    reencode_every: int | None = Field(None, ge=1, description="steps after which the memory is encoded anew")
    clip: float | None = Field(1.0, gt=0, description="largest norm of the gradient (null: any)")
    precision: Precision = Field("float32", description="of the forward pass; weights stay in float32")
    device: Literal["auto", "cpu", "cuda", "mps"] = Field("auto", description="where to train (auto: cuda, mps, cpu)")
    compile: bool = Field(False, description="compile feed-forward layers (a CPU needs a C++ compiler for it)")
    threads: int | None = Field(None, ge=1, description="threads of a CPU (default: as they are)")
    keep_pages: bool = Field(True, description="on a CPU, keep freed memory for the next step (glibc)")
    seed: int = Field(0, ge=0, description="start values, order of documents, dropout")
    checkpoint_every: int = Field(500, ge=1, description="steps between checkpoints")
    keep: int = Field(2, ge=1, description="checkpoints kept")
    save_beside: bool = Field(False, description="checkpoints are written while training goes on")
    valid_every: int | None = Field(None, ge=1, description="steps between looks at the loss on unseen documents")
    valid_batches: int = Field(20, ge=1, description="pieces that each lane then reads of them")
    parallel: Parallel = Field(
        "auto", description="several ranks hold the weights whole (auto, ddp) or in shares (fsdp)"
    )
    patience: float = Field(600.0, gt=0, description="seconds that a rank waits for another before it gives up")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.lanes % self.accumulate:
            raise ValueError(f"lanes {self.lanes} cannot be dealt to accumulate {self.accumulate} equal micro-batches")
        if not self.lanes and self.step_tokens is None:
            raise ValueError("lanes 0 follow from the tokens of a step: give step_tokens, or a number of lanes")
        if self.fine_tune > self.steps:
            raise ValueError(
                f"fine_tune {self.fine_tune:,} are the last of {self.steps:,} steps: give fewer of them, or 0"
            )
        return self


class RunConfig(Config):
    """Everything that a run is made of; `config.json` of a run folder holds it resolved."""

    recipe: str
    model: ModelConfig
    data: DataConfig = DataConfig()
    train: TrainConfig = TrainConfig()


def patience_of(read: Callable[[], Any]) -> float:
    """`patience` of a config that is yet to be read; where it cannot be, that is said once all ranks have met."""
    try:
        return float(read().train.patience)
    except Problem:
        return TrainConfig().patience


def dealt(config: TrainConfig, segment: int) -> TrainConfig:
    """The config for a model that reads `segment` tokens at a time: segment and lanes are filled in.

    With `lanes` 0 and `step_tokens` a longer segment is read by fewer lanes, so that a step has as many tokens.
    """
    segment, tokens = config.segment or segment, config.step_tokens
    if tokens is None or config.lanes * segment == tokens:
        return config.replace(segment=segment)
    if config.lanes:
        raise Problem(
            f"lanes {config.lanes} of segment {segment} are {config.lanes * segment:,} tokens a step, not step_tokens "
            f"{tokens:,}: give lanes 0 to let them follow, or step_tokens None"
        )
    lanes = tokens // segment
    if tokens % segment or lanes % config.accumulate:
        raise Problem(
            f"step_tokens {tokens:,}: segment {segment} and accumulate {config.accumulate} do not divide it evenly"
        )
    return config.replace(segment=segment, lanes=lanes)


def dealt_rows(config: TrainConfig, ranks: int) -> int:
    """Lanes of one micro-batch on one of so many ranks."""
    rows, left = divmod(config.lanes, ranks * config.accumulate)
    if left:
        parts = f"{ranks} ranks" + (f" of accumulate {config.accumulate}" if config.accumulate > 1 else "")
        raise Problem(
            f"lanes {config.lanes} count all ranks together and cannot be dealt evenly to {parts}: "
            f"take a multiple of {ranks * config.accumulate}"
        )
    return rows
