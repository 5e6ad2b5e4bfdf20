"""What is shown of a record of `attach_table`; it needs no model, and no transformers."""

from typing import Any

import numpy as np

from mnemon.studies.pages import Record, row


def attach_tuning_lines(record: Record) -> list[str]:
    """The host alone, its memory without training, each fine-tuning, and the claims with their intervals."""
    lines = [f"Bits per byte on unseen documents; the host alone: {record['plain']:.4f}.", ""]
    lines += [row(["learns", "without memory", "own memory", "another document's", "seeds"]), row(["---"] * 5)]
    for name, found in record["tuned"].items():
        means = [_mean(found.get(kind, [])) for kind in ("none", "own", "other")]
        lines.append(row([name, *means, str(len(found["none"]))]))
    lines += ["", row(["claim", "difference", "95 % interval over documents", "holds"]), row(["---"] * 4)]
    lines += [row([claim["text"], *_difference(claim), "yes" if claim["holds"] else "no"]) for claim in _claims(record)]
    lines += ["", "Without any training, less the host alone:", ""]
    lines += [row(["asks with", "merge", "value", "positions", "difference", "95 % interval"]), row(["---"] * 6)]
    settings = ("asks", "merge", "value", "positions")
    lines += [row([*(each[name] for name in settings), *_difference(each)]) for each in record["free"]]
    return [*lines, "", "How it was made:", "", *_made(record)]


def _claims(record: Record) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = record["comparisons"]
    return found


def _difference(claim: dict[str, Any]) -> list[str]:
    low, high = claim["interval"]
    return [f"{claim['bits_per_byte']:+.4f}", f"{low:+.4f} to {high:+.4f}"]


def _mean(values: list[float]) -> str:
    """The mean over seeds, with the smallest and the largest."""
    if not values:
        return ""
    spread = f" ({min(values):.4f} to {max(values):.4f})" if len(values) > 1 else ""
    return f"{np.mean(values):.4f}{spread}"


def _made(record: Record) -> list[str]:
    host, memory = record["host"], record["memory"]
    shape = f"{host['num_hidden_layers']} layers of width {host['hidden_size']}, vocabulary {host['vocab_size']}"
    seconds = ", ".join(f"{name} {took:.0f}" for name, took in record["seconds"].items())
    settings = (
        f"{memory['size']:,} entries, asked with each token's {memory['asks']}, top_k {memory['top_k']}, "
        f"{memory['merge']}, gate {memory['gate']} and sharpness {memory['sharpness']} at the start, "
        f"value {memory['value']}, positions {memory['positions']}"
    )
    return [
        f"- Host: {host['model_type']} of transformers, {shape}, trained from scratch without a memory on segments of "
        f"{host['window']} tokens: {host['steps']} steps, {host['tokens']:,.0f} tokens, {host['seconds']:.0f} seconds "
        "of one core.",
        f"- Every token is predicted after {memory['overlap']} to {memory['segment']} tokens of its document, with and "
        "without memory alike.",
        f"- Memory of the fine-tunings: one layer of {host['num_hidden_layers']}, {settings}; {record['steps']} steps.",
        f"- Seconds of one core: {seconds}.",
        f"- {len(record['corpus']['evaluated'])} documents of at most {record['tokens']:,} tokens of "
        f"`{record['corpus']['name']}`, fingerprint `{record['corpus']['fingerprint']}`.",
    ]
