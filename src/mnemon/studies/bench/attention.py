"""What attention costs on a CPU: over a window, with persistent vectors, in a layer, in a training step."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mnemon.config import Problem
from mnemon.model import FeedForwardConfig, computing
from mnemon.ops import Band, Common, joint, partial_dense, partial_fused, partial_shared, partial_window
from mnemon.pools import PersistentConfig
from mnemon.positions.learned import LearnedConfig
from mnemon.recipes import recipe
from mnemon.report import Chart
from mnemon.studies.bench.counts import counting
from mnemon.studies.bench.floor import product_rate
from mnemon.studies.bench.peer import Peer
from mnemon.studies.bench.training import Training
from mnemon.studies.bench.turns import one_thread, ratios, spread, spreads, take_turns
from mnemon.studies.machine import machine
from mnemon.studies.workers import Progress
from mnemon.train import RunConfig

RECIPE = "all-attention-enwik8-large"
SCRIPT = Path(__file__).parent / "peers" / "x_transformers_persistent.py"
BLOCKS, PLAIN, FUSED = "blocks", "plain products", "fused kernel"
ALL, FORWARD, PEER = "all-attention", "feed-forward", "x-transformers"
PAIRS = {
    "plain products to blocks": (PLAIN, BLOCKS),
    "fused kernel to blocks": (FUSED, BLOCKS),
    "all-attention to feed-forward": (ALL, FORWARD),
    "x-transformers to all-attention": (PEER, ALL),
}
Acts = Mapping[str, Callable[[], object]]


@dataclass(frozen=True)
class Plan:
    """Width, heads, vectors a head, layers, tokens of a segment and of the window, rows; `rounds` of one turn each."""

    dim: int = 512
    heads: int = 8
    vectors: int = 2048
    layers: int = 4
    segment: int = 512
    window: int = 512
    lanes: int = 1
    precision: str = "bfloat16"
    rounds: int = 5
    peer_python: Path | None = None

    @property
    def dtype(self) -> torch.dtype:
        """What products are computed in."""
        found: torch.dtype = getattr(torch, self.precision)
        return found


def bench_attention(
    plan: Plan | None = None, progress: Progress = lambda *_: None, peer_script: Path = SCRIPT
) -> dict[str, Any]:
    """Processor time, forward and backward, on one thread: of the paths by which the context is attended to, alone and
    with persistent vectors; of a layer and a training step of an all-attention network beside the feed-forward
    transformer of equal parameters, and of x-transformers with the same vectors. `products`: the share of the rate of
    a feed-forward layer's product that a step's matrix products alone, by their number of operations, come to.
    """
    plan = plan or Plan()
    if min(plan.rounds, plan.layers, plan.lanes) < 1 or plan.dim % plan.heads:
        raise Problem(
            f"{plan.rounds} rounds, {plan.layers} layers, {plan.lanes} lanes, {plan.heads} heads of width {plan.dim}: "
            "at least one of each, and heads that divide the width"
        )
    with one_thread():
        kernels, layer = paths(plan), {name: Training(config(plan, name, 1)) for name in (ALL, FORWARD)}
        found = {name: take_turns(acts, plan.rounds, progress) for name, acts in kernels.items()}
        found["a layer"] = take_turns({name: _forward(of) for name, of in layer.items()}, plan.rounds, progress)
        step, about = steps(plan, progress, peer_script)
    found["a training step"] = step
    return {
        "format": 1,
        "benchmark": "attention",
        **{name: value for name, value in asdict(plan).items() if name != "peer_python"},
        "seconds": {name: spreads(took) for name, took in found.items()},
        "ratios": {name: ratios(took, PAIRS) for name, took in found.items()},
        **about,
        "environment": machine(),
    }


def config(plan: Plan, name: str, layers: int) -> RunConfig:
    """The recipe at this size, without adaptive span and dropout; or the feed-forward transformer of its parameters."""
    base = recipe(RECIPE)
    model = base.model
    vectors = PersistentConfig(n=plan.vectors) if name == ALL else None
    model = model.replace(
        dim=plan.dim,
        n_layers=layers,
        n_heads=plan.heads,
        head_dim=plan.dim // plan.heads,
        segment=plan.segment,
        window=plan.window,
        position=LearnedConfig(span=plan.window),
        attention=model.attention.replace(span=None, dropout=0.0),
        pools=model.pools.replace(persistent=vectors),
        feedforward=None if vectors else FeedForwardConfig(dim=plan.vectors),
        dropout=0.0,
    )
    train = base.train.replace(lanes=plan.lanes, optimizer="adamw", clip=1.0, precision=plan.precision, accumulate=1)
    return base.replace(model=model, train=train)


def paths(plan: Plan) -> dict[str, Acts]:
    """Forward and backward of each path, over a window with a bias a distance, alone and with vectors."""
    draw = torch.Generator().manual_seed(0)
    b, h, t, n, d = plan.lanes, plan.heads, plan.segment, plan.segment + plan.window, plan.dim // plan.heads

    def drawn(*size: int) -> Tensor:
        return (torch.randn(size, generator=draw) / d**0.25).to(plan.dtype).requires_grad_()

    q, k, v, keys, values = drawn(b, h, t, d), drawn(b, h, n, d), drawn(b, h, n, d), *(drawn(h, plan.vectors, d),) * 2
    band = Band(1, plan.window, drawn(1, h, 1, plan.window))
    common = Common(q, keys, values)
    bias, seen, _ = (x if x is None else x.detach() for x in band.spread(t, n, q.device))

    def plain() -> Any:
        return joint([partial_dense(q, k, v, bias, seen), partial_shared(q, keys, values)])

    def learned(attend: Callable[[], Any]) -> Callable[[], None]:
        return lambda: attend().o.sum().backward()

    alone = {
        BLOCKS: learned(lambda: partial_window(q, k, v, band, merges=False)),
        PLAIN: learned(lambda: partial_dense(q, k, v, bias, seen)),
        FUSED: learned(lambda: partial_fused(q, k, v, bias, seen)),
    }
    merged = {BLOCKS: learned(lambda: partial_window(q, k, v, band, common, merges=False)), PLAIN: learned(plain)}
    return {"the context alone": alone, "with persistent vectors": merged}


def steps(plan: Plan, progress: Progress, script: Path) -> tuple[dict[str, list[float]], dict[str, Any]]:
    """Seconds of whole training steps, and what is known of them."""
    models = {name: Training(config(plan, name, plan.layers)) for name in (ALL, FORWARD)}
    with Peer(plan.peer_python, script, peer_shape(plan)) as peer:
        for training in models.values():
            training.seconds(-(-plan.window // plan.segment) + 1)  # its cache is full then
        took: dict[str, list[float]] = {name: [] for name in models}
        for done in range(1, plan.rounds + 1):
            for name, training in models.items():
                took[name].append(training.seconds(1)[1])
            peer.round()
            progress("rounds", done, plan.rounds, f"a step of {took[ALL][-1]:.2f} s")
    rate = product_rate(plan.lanes * plan.segment, plan.dim, plan.vectors, plan.dtype)
    flops = {name: counted(training) for name, training in models.items()}
    products = {name: flops[name] / rate / spread(took[name])["median"] for name in models}
    parameters = {name: sum(p.numel() for p in of.trainer.model.parameters()) for name, of in models.items()}
    took |= {} if peer.missing else {PEER: peer.seconds}
    about = {"flops": flops, "product_rate": rate, "products": products, "parameters": parameters}
    return took, {**about, "peer": {"missing": peer.missing} if peer.missing else peer.about}


def counted(training: Training) -> int:
    """Operations of the matrix products of a step."""
    with counting() as counter:
        training.seconds(1)
    return int(counter.get_total_flops())


def peer_shape(plan: Plan) -> dict[str, Any]:
    """What the peer is told, so that it can build its own alike."""
    shape = {name: value for name, value in asdict(plan).items() if name != "peer_python"}
    model = recipe(RECIPE).model
    return {**shape, "head_dim": plan.dim // plan.heads, "vocabulary": model.vocab_size, "seed": 0, "flash": True}


def _forward(training: Training) -> Callable[[], None]:
    """Forward and backward of a model of one layer."""
    batch, trainer = training.batch(), training.trainer
    training.seconds(-(-training.config.model.window // training.config.model.segment))

    def act() -> None:
        with computing(trainer.device, training.config.train.precision):
            output, _ = trainer.model(batch.tokens, trainer.states[0])
        output.hidden.float().sum().backward()
        trainer.model.zero_grad()

    return act


def attention_chart(found: dict[str, Any]) -> Chart:
    """Milliseconds of every contender."""
    took = {
        f"{what}: {name}": {key: 1000 * value for key, value in each.items()}
        for what, of in found["seconds"].items()
        for name, each in of.items()
    }
    return Chart.by_name("What attention costs", "milliseconds of processor time: median, lowest and highest", took)
