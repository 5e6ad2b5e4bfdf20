from pathlib import Path

import tiny
from mnemon.data import Lanes
from mnemon.data.byte_tokens import Bytes
from mnemon.train import read_records, resume, train


def test_a_faithful_run_has_one_loss_less_a_whole_segment_and_resumes(tmp_path: Path) -> None:
    corpus, records = tiny.corpus(), {}
    for name, faithful in (("ours", False), ("faithful", True)):
        out = train(tiny.run_config(changes={"faithful": faithful}, steps=6), tmp_path / name, corpus)
        records[name] = read_records(resume(out, corpus, steps=8))
    batches = Lanes(corpus.train, Bytes(), 4, 16, seed=0)
    whole = sum(int((next(batches).lengths == 16).sum()) for _ in range(8))
    assert whole > 16
    assert records["ours"][-1]["tokens"] - records["faithful"][-1]["tokens"] == whole
    assert records["ours"][0]["loss"] != records["faithful"][0]["loss"]
