from typing import Any

import pytest
import torch

from mnemon.studies.bench import store
from mnemon.studies.bench.store_alone import Job, ask, fill


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stores that a benchmark measures are filled and asked here: processes of their own take seconds to start."""

    def alone(job: Job) -> dict[str, Any]:
        with torch.inference_mode():
            return {"fill": fill, "ask": ask}[job.step](job)

    monkeypatch.setattr(store, "_alone", alone)
