import sys
from dataclasses import replace
from pathlib import Path

import pytest

from mnemon.config import Problem
from mnemon.studies.bench.attention import ALL, BLOCKS, FORWARD, FUSED, PEER, PLAIN, Plan, attention_chart
from mnemon.studies.bench.attention import bench_attention as measured
from mnemon.studies.bench.attention_page import attention_lines

SMALL = Plan(dim=16, heads=2, vectors=24, layers=2, segment=20, window=12, lanes=2, rounds=1)
ANSWERS = """
import json, sys
print(json.dumps({"shape": json.loads(sys.argv[1])}), flush=True)
for _ in sys.stdin:
    print(json.dumps({"seconds": 2.0}), flush=True)
"""


def test_paths_layers_and_steps_stand_beside_each_other() -> None:
    found = measured(SMALL)
    assert {name: list(of) for name, of in found["seconds"].items()} == {
        "the context alone": [BLOCKS, PLAIN, FUSED],
        "with persistent vectors": [BLOCKS, PLAIN],
        "a layer": [ALL, FORWARD],
        "a training step": [ALL, FORWARD],
    }
    more, fewer = (found["parameters"][name] for name in (FORWARD, ALL))
    assert more - fewer == SMALL.layers * 2 * SMALL.dim  # a second norm a layer; the rest is equal
    for name, share in found["products"].items():
        taken = found["seconds"]["a training step"][name]["median"]
        assert share == pytest.approx(found["flops"][name] / found["product_rate"] / taken)
    page = "\n".join(attention_lines({"sizes": [found]}))
    assert "## Width 16, 24 vectors a head" in page
    assert "make bench-peers" in page
    assert f"a training step: {ALL}" in attention_chart(found).values


def test_a_peer_is_told_the_shape_and_compared(tmp_path: Path) -> None:
    script = tmp_path / "peer.py"
    script.write_text(ANSWERS)
    found = measured(replace(SMALL, peer_python=Path(sys.executable)), peer_script=script)
    assert found["seconds"]["a training step"][PEER]["median"] == 2.0
    assert found["peer"]["shape"]["vectors"] == 24
    assert found["peer"]["shape"]["head_dim"] == 8
    assert found["ratios"]["a training step"]["x-transformers to all-attention"]["median"] > 1


def test_operations_of_a_step_grow_with_the_vectors() -> None:
    few, many = (measured(replace(SMALL, vectors=n))["flops"][ALL] for n in (24, 48))
    rows, width, passes = SMALL.lanes * SMALL.segment, SMALL.dim, 3
    assert many - few == SMALL.layers * passes * 2 * 2 * rows * width * 24


@pytest.mark.parametrize("changes", [{"rounds": 0}, {"layers": 0}, {"heads": 3}])
def test_at_least_one_of_each(changes: dict[str, int]) -> None:
    with pytest.raises(Problem, match="at least one of each, and heads that divide the width"):
        measured(replace(SMALL, **changes))
