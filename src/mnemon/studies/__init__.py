from mnemon.studies.bench.recall import bench_recall
from mnemon.studies.bench.span import bench_span
from mnemon.studies.bench.train import bench_train
from mnemon.studies.demo import demo
from mnemon.studies.grid import corpora_of
from mnemon.studies.inspecting import Inspected, inspect_run
from mnemon.studies.reproduce import GRIDS, TABLES, Asked, reproduce
from mnemon.studies.retrieval import check_run, retrieval_lines

__all__ = [
    "GRIDS",
    "TABLES",
    "Asked",
    "Inspected",
    "bench_recall",
    "bench_span",
    "bench_train",
    "check_run",
    "corpora_of",
    "demo",
    "inspect_run",
    "reproduce",
    "retrieval_lines",
]
