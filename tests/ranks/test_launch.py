import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from mnemon.cli import main
from mnemon.train import read_records
from mnemon.train.checkpoint import newest

SIZES = "--model.dim 32 --model.n-layers 2 --model.n-heads 2 --model.head-dim 16 --model.segment 16 --model.window 16"
READS = "--data.tokenizer bytes --data.vocab-size None --train.lanes 4 --train.device cpu --train.parallel fsdp"


def torchrun(*words: object) -> subprocess.Popen[str]:
    """A command of mnemon on two ranks of this machine."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "mnemon"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [*command, *map(str, words)], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_a_job_of_torchrun_is_stopped_continued_and_evaluated_like_any_other(tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "texts").mkdir()
    for k in range(12):
        (tmp_path / "texts" / f"{k}.txt").write_text(f"The ferry to harbour {k} leaves at {k}. " * 9)
    out = tmp_path / "run"
    words = f"train vanilla-tiny {SIZES} {READS} --train.steps 100000 --train.checkpoint-every 50000".split()
    with torchrun(*words, "--data", tmp_path / "texts", "--out", out) as job:
        while not (out / "metrics.jsonl").exists() or len(read_records(out)) < 3:
            assert job.poll() is None
            time.sleep(0.1)
        job.send_signal(signal.SIGTERM)
        said = job.communicate()[1]
    assert f"mnemon: interrupted; continue with: mnemon train --resume {out}\n" in said
    stopped = newest(out / "checkpoints").values["step"]
    assert stopped == len(read_records(out)) > 2
    with torchrun("train", "--resume", out, "--train.steps", stopped + 2, "--json") as job:
        told = job.communicate()[0]
    assert job.returncode == 0
    assert json.loads(told)["step"] == stopped + 2  # said once
    assert main(["eval", str(out), "--data", str(tmp_path / "texts"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["tokens"] > 0
