"""The tables of `reproduce` that measure time, or try faults; nothing is trained for them: folder, budget and seeds
are unused.
"""

import importlib
from collections.abc import Sequence
from pathlib import Path

from mnemon.studies.bench.attach_page import attach_lines
from mnemon.studies.bench.attention_page import attention_lines, attention_table
from mnemon.studies.bench.cost import cost_lines, cost_table
from mnemon.studies.bench.decode import decode_lines, decode_table
from mnemon.studies.bench.read import read_lines, read_table
from mnemon.studies.bench.recall import recall_lines, recall_table
from mnemon.studies.bench.scale_page import scale_lines, scale_table
from mnemon.studies.bench.search import search_table
from mnemon.studies.bench.search_page import search_lines
from mnemon.studies.bench.span import span_lines, span_table
from mnemon.studies.bench.store_page import store_lines, stores_table
from mnemon.studies.bench.train_page import train_lines, train_table
from mnemon.studies.faults.bench import faults_lines, faults_table
from mnemon.studies.pages import Record, Table
from mnemon.studies.workers import Progress


def _attach(out: Path, minutes: int, seeds: Sequence[int], progress: Progress) -> Record:
    study = importlib.import_module("mnemon.studies.bench.attach")  # needs transformers, which the others do without
    found: Record = study.bench_attach(progress=progress)
    return found


BENCH_TABLES = {
    "train-speed": Table(
        "Training speed",
        "What does a memory cost in training, and how does that compare with another implementation at the same shape?",
        train_table,
        train_lines,
    ),
    "recall": Table(
        "What each index finds",
        "How many of the true neighbours does each index find, and how long does a search take?",
        recall_table,
        recall_lines,
    ),
    "search-speed": Table(
        "Exact search",
        "How close is exact search to the bare product of queries and keys, how does it compare with faiss, and from "
        "how many entries on is an approximate index faster for one query?",
        search_table,
        search_lines,
    ),
    "stores": Table(
        "Where a memory lies",
        "What does each store take to write, to open, of memory and a token, and what does it find of the true "
        "neighbours of a trained model?",
        stores_table,
        store_lines,
        server=True,
    ),
    "scale": Table(
        "What more tokens need",
        "What do time and bytes of a remembered token grow by in each tier, and what would 100 million and 10 billion "
        "remembered tokens need by that?",
        scale_table,
        scale_lines,
        server=True,
    ),
    "span": Table(
        "What a shorter attention span saves",
        "Do operations, memory and time of a layer with adaptive spans fall with its spans?",
        span_table,
        span_lines,
    ),
    "decode-speed": Table(
        "What a token costs when it is written",
        "How much slower does a model write with a memory than without one, and how much faster than with full "
        "attention over as many tokens?",
        decode_table,
        decode_lines,
    ),
    "read-speed": Table(
        "What it costs to read a document",
        "How fast is a document remembered, and how fast is it read with a full memory, beside no memory?",
        read_table,
        read_lines,
    ),
    "cost": Table(
        "Costs grow as told",
        "Do time, operations and bytes of a step grow with window, persistent vectors, memory, top-k, layers and rows "
        "as the documentation tells?",
        cost_table,
        cost_lines,
    ),
    "attention-speed": Table(
        "What attention costs",
        "What do persistent vectors cost in training beside the feed-forward layer that they replace, and what does a "
        "window cost by blocks?",
        attention_table,
        attention_lines,
    ),
    "attach-speed": Table(
        "What an attached memory costs",
        "How much slower does a foreign model write with a memory of 65,536 entries, and how much faster than with as "
        "many tokens in its own cache?",
        _attach,
        attach_lines,
    ),
    "faults": Table(
        "What a fault costs",
        "Is anything lost that was acknowledged, or back that was forgotten, when a process is killed, the power is "
        "cut, the disk is full, files are damaged, or a server is away?",
        faults_table,
        faults_lines,
        server=True,
    ),
}
