from mnemon.report import Chart
from mnemon.studies.pages import Record, row


def shape_of(of: Record) -> str:
    """How many queries of how many heads are searched in how many entries of what kind."""
    return f"{of['heads']} x {of['queries']:,} x {of['entries']:,}, {of['keys']}"


def many_rows(found: Record) -> list[tuple[str, ...]]:
    """Shape, contender, milliseconds, times the product, faiss.knn to it, recall and share of certified queries."""
    rows = []
    for of in found["many"]:
        for name, took in of["seconds"].items():
            ratio, peer, result = of["to_product"][name], of["faiss_to"].get(name), of["found"].get(name)
            cells = [f"{1000 * took[which]:,.1f}" for which in ("median", "low", "high")]
            cells += [f"{ratio['median']:.2f}", f"{peer['median']:.2f}" if peer else ""]
            cells += [f"{result[what]:.3f}" for what in ("recall", "certified")] if result else ["", ""]
            rows.append((shape_of(of), name, *cells))
        floor, product = of["floor"], of["seconds"]["product"]["median"]
        rows.append((shape_of(of), "floor", f"{1000 * floor:,.1f}", "", "", f"{floor / product:.2f}", "", "", ""))
    return rows


MANY = (
    "heads x queries x entries",
    "search",
    "ms",
    "lowest",
    "highest",
    "times the product",
    "faiss.knn to it",
    "recall",
    "certified",
)


def one_rows(found: Record) -> list[tuple[str, ...]]:
    """Entries, keys, contender, microseconds a query, recall, seconds of building."""
    return [
        (
            f"{of['size']:,}",
            of["keys"],
            name,
            *(f"{1e6 * took[which]:,.0f}" for which in ("median", "low", "high")),
            f"{of['recall'][name]:.3f}",
            f"{of['building'][name]:.2f}" if name in of["building"] else "",
        )
        for of in found["one"]
        for name, took in of["seconds"].items()
    ]


ONE = ("entries", "keys", "search", "us a query", "lowest", "highest", "recall", "built in s")


def missing_lines(found: Record) -> list[str]:
    """What could not be measured, and why."""
    return sorted({f"missing: {what}" for of in (*found["many"], *found["one"]) for what in of["missing"].values()})


def search_lines(record: Record) -> list[str]:
    """Many queries beside the product and faiss, then one query by size."""
    lines = [row(MANY), row(["---"] * len(MANY)), *map(row, many_rows(record))]
    lines += ["", "One query at a time:", "", row(ONE), row(["---"] * len(ONE)), *map(row, one_rows(record))]
    lines += ["", *(f"- {line}" for line in missing_lines(record))]
    kernel = "built" if record["kernel"] else "not built (`mnemon build-kernels`)"
    return [
        *lines,
        "",
        "How it was made:",
        "",
        f"- The best {record['top_k']} of unit vectors of size {record['dim']}: `random`, or `alike`, which lie about "
        "1024 centres at a cosine of about 0.7.",
        f"- One thread, processor time, medians of {record['rounds']} rounds taken in turns. The kernel was {kernel}.",
        "- Product: queries and keys in bfloat16, one product a head into one room; `fresh room`: into new memory.",
        "- Floor: operations at the rate of a product of 1024 x 1024 that stays in the cache, or bytes at that of a "
        "copy.",
        "- Recall: by float64 products, 64 queries of each head. Certified: the share of queries for which bfloat16 "
        "scores with a bound of their error were enough; the others were searched in float32 as well, in the time "
        "told.",
    ]


def search_chart(found: Record) -> Chart:
    """Times the product, of every contender at the first shape."""
    first = found["many"][0]
    return Chart.by_name(f"Exact search, {shape_of(first)}", "times the bare product", first["to_product"])
