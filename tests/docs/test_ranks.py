"""The page on training with several ranks, and the job files that it explains."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from doc_pages import ROOT
from mnemon.cli import main

FILES = ("docs/train-ranks.md", "deploy/torchrun.slurm", "deploy/torchrun.yaml")


@pytest.fixture(autouse=True)
def _sources() -> None:
    if not (ROOT / "deploy").is_dir():
        pytest.skip("the job files are not beside the tests")


@pytest.mark.parametrize("file", FILES)
def test_flags_of_a_training_on_ranks_exist(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    named = set(re.findall(r"--(?:train|model|data|resume|out)[\w.-]*", (ROOT / file).read_text()))
    assert named
    assert main(["train", "memorizing-1b", "--help"]) == 0
    assert named <= set(re.findall(r"--[\w.-]+", capsys.readouterr().out)) | {"--resume"}


def test_the_job_for_slurm_is_a_script() -> None:
    assert subprocess.run(["bash", "-n", ROOT / "deploy" / "torchrun.slurm"]).returncode == 0


def test_the_job_for_kubernetes_meets_at_its_own_service(tmp_path: Path) -> None:
    service, job = yaml.safe_load_all((ROOT / "deploy" / "torchrun.yaml").read_text())
    pod: dict[str, Any] = job["spec"]["template"]["spec"]
    script = pod["containers"][0]["args"][0]
    (tmp_path / "script").write_text(script)
    assert subprocess.run(["bash", "-n", tmp_path / "script"]).returncode == 0
    name, port = service["metadata"]["name"], service["spec"]["ports"][0]["port"]
    assert f"--rdzv-endpoint {job['metadata']['name']}-0.{name}:{port}" in script
    assert pod["subdomain"] == name
    assert service["spec"]["selector"].items() <= job["spec"]["template"]["metadata"]["labels"].items()
    assert f"--nnodes {job['spec']['completions']} " in script
    assert f"--nproc-per-node {pod['containers'][0]['resources']['limits']['nvidia.com/gpu']} " in script
