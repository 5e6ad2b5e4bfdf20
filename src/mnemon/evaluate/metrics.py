from collections.abc import Callable, Sequence
from typing import Any

from mnemon.evaluate.by_position import by_position
from mnemon.evaluate.loss import bits_per_byte, nats_per_token, perplexity, perplexity_without_eos
from mnemon.evaluate.scored import Scored

METRICS: dict[str, Callable[[Sequence[Scored]], Any]] = {
    "nats_per_token": nats_per_token,
    "perplexity": perplexity,
    "perplexity_without_eos": perplexity_without_eos,
    "bits_per_byte": bits_per_byte,
    "by_position": by_position,
}
