import json
import random

import pytest
import torch

from mnemon.train.randomness import random_state, seeded, set_random_state

CPU = torch.device("cpu")


def draws() -> tuple[list[float], float, float]:
    return torch.rand(3).tolist(), random.random(), random.gauss(0, 1)


def test_inside_numbers_come_from_the_seed_and_outside_they_go_on_as_before() -> None:
    torch.manual_seed(5)
    random.seed(5)
    wanted = draws()
    torch.manual_seed(5)
    random.seed(5)
    found = []
    for _ in range(2):
        with seeded(7, CPU, threads=1):
            assert torch.get_num_threads() == 1
            found.append(draws())
    assert found[0] == found[1]
    assert draws() == wanted


def test_everything_is_as_before_after_a_failure() -> None:
    threads, before = torch.get_num_threads(), torch.get_rng_state()
    with pytest.raises(KeyError), seeded(7, CPU, threads=1):
        torch.rand(1)
        raise KeyError
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.get_rng_state(), before)


def test_a_state_kept_as_tensors_and_json_gives_the_same_numbers_again() -> None:
    with seeded(7, CPU):
        random.gauss(0, 1)  # its twin is kept for the next call
        tensors, python = random_state(CPU)
        wanted = draws()
        set_random_state(tensors, json.loads(json.dumps(python)), CPU)
        assert draws() == wanted
