from mnemon.studies.bench import bench_train
from mnemon.studies.demo import STEPS, demo
from mnemon.studies.inspecting import Inspected, inspect_run
from mnemon.studies.recall import bench_recall
from mnemon.studies.reproduce import TABLES, reproduce, write_result_page
from mnemon.studies.span import bench_span

__all__ = [
    "STEPS",
    "TABLES",
    "Inspected",
    "bench_recall",
    "bench_span",
    "bench_train",
    "demo",
    "inspect_run",
    "reproduce",
    "write_result_page",
]
