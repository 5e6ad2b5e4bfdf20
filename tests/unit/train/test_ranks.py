from collections import Counter

import pytest
import torch

import tiny
from mnemon.config import Problem
from mnemon.data import Lanes
from mnemon.data.byte_tokens import Bytes
from mnemon.train import TrainConfig
from mnemon.train.config import dealt_rows
from mnemon.train.engines import make_engine
from mnemon.train.ranks import ALONE, Ranks, joined, launched, left_behind, speaks


def test_a_process_alone_asks_nobody() -> None:
    assert ALONE.first
    assert ALONE.gather({"a": 1}) == [{"a": 1}]
    assert ALONE.any(True)
    assert not ALONE.any(False)
    assert torch.equal(ALONE.sum(torch.ones(2)), torch.ones(2))
    assert ALONE.aside() is ALONE
    with pytest.raises(Problem, match="own"), ALONE.together():
        raise Problem("own")
    with joined("auto", 1.0) as ranks:
        assert ranks is ALONE


def test_shares_need_several_ranks() -> None:
    with pytest.raises(Problem, match="parallel 'fsdp' is for several ranks"), joined("fsdp", 1.0):
        pass


def test_what_reads_the_past_again_is_not_for_shares() -> None:
    config = TrainConfig(lanes=4, device="cpu", parallel="fsdp", drift_every=3)
    with pytest.raises(Problem, match="drift_every and reencode_every read with all weights at once"):
        make_engine(tiny.model("memorizing").build(), config, Ranks(0, 2))


def test_of_several_ranks_the_first_speaks(monkeypatch: pytest.MonkeyPatch) -> None:
    assert speaks()
    for size, rank, several, speaking in (("1", "0", False, True), ("2", "0", True, True), ("2", "1", True, False)):
        monkeypatch.setenv("WORLD_SIZE", size)
        monkeypatch.setenv("RANK", rank)
        assert (launched(), speaks()) == (several, speaking)


def test_a_rank_left_behind_says_so_and_other_errors_are_left_alone() -> None:
    lost = "[third_party/gloo/pair.cc:537] Read error [127.0.0.1]:6055: Connection reset by peer. Look at the logs."
    with pytest.raises(Problem, match=r"cannot be reached \(.*Connection reset by peer\); the last"), left_behind():
        raise RuntimeError(lost)
    with pytest.raises(RuntimeError, match="shapes"), left_behind():
        raise RuntimeError("shapes do not fit")


@pytest.mark.parametrize(("size", "accumulate"), [(1, 1), (2, 1), (3, 2)])
def test_ranks_together_read_every_document_once_an_epoch(size: int, accumulate: int) -> None:
    lanes = Lanes(tiny.documents(), Bytes(), 6, 16, seed=0, epochs=1)
    read: Counter[tuple[int, int]] = Counter()
    for batch in lanes:
        for rank in range(size):
            own = Ranks(rank, size).share(6)
            for document, offset, length in zip(
                batch.documents[own], batch.offsets[own], batch.lengths[own], strict=True
            ):
                read.update((int(document), int(offset) + at) for at in range(int(length)))
    wanted = {
        (index, at) for index, document in enumerate(tiny.documents()) for at in range(len(document.text.encode()))
    }
    assert read == Counter(wanted)
    assert dealt_rows(TrainConfig(lanes=6, accumulate=accumulate), size) == 6 // size // accumulate


def test_lanes_that_cannot_be_dealt_are_a_problem() -> None:
    with pytest.raises(Problem, match=r"lanes 8 .* cannot be dealt evenly to 3 ranks: take a multiple of 3"):
        dealt_rows(TrainConfig(lanes=8), 3)
    with pytest.raises(Problem, match=r"3 ranks of accumulate 2: take a multiple of 6"):
        dealt_rows(TrainConfig(lanes=8, accumulate=2), 3)
