"""What is shown of a record of `bench_attach`; it needs no model, and no transformers."""

from mnemon.studies.pages import Record, row

CALLS = {"prefill": "prefill", "decode": "decode, a token", "read": "reading"}


def attach_rows(record: Record) -> list[tuple[str, str, str, str, str, str]]:
    """What was measured of whom: tokens a second, then milliseconds: median, lowest, highest."""
    tokens = {"prefill": record["prompt"], "decode": 1, "read": record["read"]}
    rows = []
    for what, of in record["seconds"].items():
        for who, took in of.items():
            spread = (f"{1000 * took[which]:,.1f}" for which in ("median", "low", "high"))
            rows.append((CALLS[what], who, f"{tokens[what] / took['median']:,.1f}", *spread))
    return rows


def host_line(record: Record) -> str:
    """The shape of the host, and what was attached to it."""
    shape = record["shape"]
    return (
        f"a Llama of {shape['layers']} layers, dim {shape['dim']:,}, {shape['heads']} heads on {shape['groups']} "
        f"key/value heads, feed-forward {shape['inner']:,}, vocabulary {shape['vocabulary']:,}: "
        f"{record['parameters']:,} random parameters in {shape['dtype']}; memory of {record['size']:,} entries in "
        f"layer {record['layer']}, top_k {record['top_k']}"
    )


def attach_lines(record: Record) -> list[str]:
    """Times of each call, plain and remembering, and their ratios."""
    lines = [row(["", "", "tokens/s", "ms, median", "lowest", "highest"]), row(["---"] * 6)]
    lines += [row(each) for each in attach_rows(record)]
    lines += ["", row(["times as long", "median", "lowest", "highest"]), row(["---"] * 4)]
    for name, ratio in record["ratios"].items():
        lines.append(row([name, *(f"{ratio[which]:.2f}" for which in ("median", "low", "high"))]))
    lines += ["", "How it was made:", "", f"- {host_line(record)}.".replace("- a", "- A", 1)]
    turns = (
        f"- Plain and remembering host take turns, {record['rounds']} rounds, after one that is not counted; in decode "
    )
    return [
        *lines,
        turns + "they do so token by token. Processor time on one thread.",
        f"- Prefill: {record['prompt']} tokens. Decode: one token after them; a round's time is the median of "
        f"{record['steps']} tokens, of one for the full cache.",
        f"- Full cache: the plain host with {record['size']:,} tokens in its ordinary cache.",
        f"- Reading: {record['read']:,} tokens into memory (512 at once, of which 128 repeat), beside one plain "
        "forward of the same tokens without its output layer.",
    ]
