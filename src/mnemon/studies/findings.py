from collections.abc import Sequence
from typing import Any

import numpy as np

from mnemon.data import Corpus, Document
from mnemon.evaluate import Result, Scored
from mnemon.recipes.count import count_parameters
from mnemon.studies.compare import between, compare, mean_over_seeds
from mnemon.train import Run, read_records

Readings = dict[str, list[dict[int, Result]]]  # of each model and seed, by memory size
MEMORIZING, BASELINE = "memorizing-tiny", "transformer-xl-tiny"
LARGEST = 8192


def model_findings(runs: Sequence[Run], found: Sequence[dict[int, Result]], seeds: Sequence[int]) -> dict[str, Any]:
    """What the results say of one model."""
    sizes = [str(size) for size in found[0]]
    values = [{str(size): result.metrics for size, result in each.items()} for each in found]
    gates = {str(layer): gate.tolist() for layer, gate in runs[0].model.gates().items()}
    records = read_records(runs[0].folder)
    thin = max(len(records) // 200, 1)
    return {
        "params": count_parameters(runs[0].config.model).total,
        "tokens": int(records[-1]["tokens"]),
        "seeds": list(seeds),
        **{
            metric: {size: float(np.mean([value[size][metric] for value in values])) for size in sizes}
            for metric in ("bits_per_byte", "nats_per_token")
        },
        "by_position": {size: _mean_bins([value[size]["by_position"] for value in values]) for size in sizes},
        "per_seed": [
            {"seed": seed, "bits_per_byte": {size: value[size]["bits_per_byte"] for size in sizes}}
            for seed, value in zip(seeds, values, strict=True)
        ],
        "gates": gates,
        "training": [{"step": int(each["step"]), "loss": each["loss"]} for each in records[::thin]],
    }


def _mean_bins(bins: Sequence[Sequence[dict[str, Any]]]) -> list[dict[str, Any]]:
    return [
        {**each[0], "bits_per_byte": float(np.mean([one["bits_per_byte"] for one in each]))}
        for each in zip(*bins, strict=True)
    ]


def comparisons(own: Readings, other: Sequence[Result], window: int) -> list[dict[str, Any]]:
    """The claims of the demonstration, each with the interval that carries it or does not."""

    def reading(name: str, size: int) -> list[Scored]:
        return mean_over_seeds([each[size].documents for each in own[name]])

    full, none, baseline = reading(MEMORIZING, LARGEST), reading(MEMORIZING, 0), reading(BASELINE, 0)
    stranger = mean_over_seeds([each.documents for each in other])
    text = f"{MEMORIZING} with a memory of {LARGEST} entries has a lower loss than "
    return [
        compare("memory against none", text + "the same model without its memory.", full, none),
        compare("memory against Transformer-XL", text + f"{BASELINE} of equal size, tokens and seeds.", full, baseline),
        compare(
            "own against another document's memory",
            f"The document's own memory helps more than one of {LARGEST} entries filled by another document.",
            full,
            stranger,
        ),
        compare(
            f"beyond position {2 * window}",
            f"Against {BASELINE}, for the tokens of each document whose beginning its window no longer reaches.",
            between(full, 2 * window),
            between(baseline, 2 * window),
        ),
        compare(
            f"up to position {window}",
            f"Control, where no gain is to be expected: against {BASELINE}, for the first {window} tokens of each "
            "document, which its window covers whole.",
            between(full, 0, window),
            between(baseline, 0, window),
        ),
    ]


def corpus_findings(corpus: Corpus, documents: Sequence[Document], vocab_size: int) -> dict[str, Any]:
    splits = {name: corpus.split(name) for name in ("train", "valid", "test")}
    return {
        "name": corpus.name,
        "fingerprint": corpus.fingerprint,
        "documents": {name: len(found) for name, found in splits.items()},
        "bytes": {name: sum(len(each.text.encode()) for each in found) for name, found in splits.items()},
        "skipped": corpus.skipped,
        "tokenizer": f"byte-level BPE, {vocab_size} tokens, trained on the training documents",
        "evaluated": ", ".join(document.id for document in documents),
    }
