import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from mnemon.config import Problem
from mnemon.index import MilvusKind, MilvusStore, milvus_lease
from mnemon.index.milvus_lease import ABANDONED, abandoned, this_process

KILLED = """
import os, signal, torch
from mnemon.index import MilvusKind
store = MilvusKind(uri="memory.db").empty(2, 2, 8, 4, like=torch.empty(0))
one = torch.ones(2, 2, 3, 4)
store.write(one, one, torch.arange(3).expand(2, 3), torch.tensor([3, 3]))
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_process_left_goes_and_the_living_stay(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED], cwd=tmp_path, env=os.environ, capture_output=True)
    assert done.returncode == -signal.SIGKILL
    kind = MilvusKind(uri=str(tmp_path / "memory.db"))
    with pytest.warns(UserWarning, match="removed 1 memories from mnemon_4 that killed processes left there"):
        store = kind.empty(1, 2, 8, 4, like=torch.empty(0))
    assert isinstance(store, MilvusStore)
    one = torch.ones(1, 2, 3, 4)
    store.write(one, one, torch.arange(3)[None], torch.tensor([3]))
    twin = kind.empty(1, 2, 8, 4, like=torch.empty(0))
    assert kind.swept(4) == []
    found = store.find(one, 8, torch.tensor([0]))
    assert found is not None
    assert int(found.valid.sum()) == 2 * 3 * 3
    del twin
    mine = {store.tenant.name, f"{store.tenant.name}/0/0", f"{store.tenant.name}/0/1", "leases"}
    held = place_tenants(store)
    assert {each for each in held if not each.startswith("[")} == mine, "of the killed one nothing is left"


def place_tenants(store: MilvusStore) -> set[str]:
    asked = {"filter": "entry >= 0", "output_fields": ["tenant"], "limit": 1000}
    return {each["tenant"] for each in store.tenant._query(asked)}


def test_of_a_server_s_stores_only_the_time_tells() -> None:
    now = 10.0 * ABANDONED
    assert not abandoned(False, "other", int(now - ABANDONED + 60), now)
    assert abandoned(False, "other", int(now - ABANDONED - 60), now)
    assert abandoned(True, "other", int(now), now)
    assert not abandoned(True, this_process(), int(now), now)


def test_a_store_that_is_used_stays_and_one_that_was_taken_away_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind, now = MilvusKind(uri=str(tmp_path / "memory.db")), [1e9]
    monkeypatch.setattr(milvus_lease, "time", SimpleNamespace(time=lambda: now[0]))
    store = kind.empty(1, 1, 8, 4, like=torch.empty(0))
    one = torch.ones(1, 1, 1, 4)
    for _ in range(3):
        now[0] += 0.9 * ABANDONED
        store.write(one, one, torch.zeros(1, 1).long(), torch.tensor([1]))
        assert kind.swept(4) == []
    now[0] += 1.1 * ABANDONED
    assert len(kind.swept(4)) == 1
    with pytest.raises(Problem, match="not used for 8 days and was removed as abandoned"):
        store.find(one, 1, torch.tensor([0]))
