import torch

from mnemon.studies.bench.counts import Counts, counted
from mnemon.studies.bench.standing import full_state, remembering_model, step, tokens


def test_counts_are_those_of_the_work() -> None:
    a, b = torch.randn(3, 5), torch.randn(5, 7)
    assert counted(lambda: a @ b) == Counts(2 * 3 * 5 * 7, 4 * 3 * 7, 1)
    assert counted(lambda: a.T) == Counts(0, 0, 1)
    assert counted(lambda: a.add_(1)) == Counts(0, 0, 1)


def test_backward_counts_too() -> None:
    a, b = torch.randn(3, 5, requires_grad=True), torch.randn(5, 7)
    assert counted(lambda: (a @ b).sum().backward()).operations == 2 * (2 * 3 * 5 * 7)


def test_a_token_takes_as_much_later_in_the_document() -> None:
    model, draw = remembering_model("memorizing-tiny"), torch.Generator().manual_seed(0)
    state = full_state(model, 1024)

    def feed(length: int) -> None:
        step(model, state, tokens(model, draw, 1, length))

    with torch.no_grad():
        early = counted(lambda: feed(1))
        for length in (state.room(), *[state.segment] * 3):
            feed(length)
        assert counted(lambda: feed(1)) == early
