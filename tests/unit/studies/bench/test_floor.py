import torch

from mnemon.studies.bench.floor import Rates, Work, copy_rate, product_rate


def test_the_floor_is_the_slower_of_operations_and_traffic():
    rates = Rates(flops=10.0, bytes=100.0)
    assert rates.floor(Work(flops=50.0, bytes=100.0)) == 5.0
    assert rates.floor(Work(flops=50.0, bytes=1000.0)) == 10.0


def test_work_adds_up():
    assert Work(1.0, 2.0) + Work(3.0, 4.0) == Work(4.0, 6.0)


def test_a_large_product_has_a_higher_rate_than_a_product_with_one_row():
    large, single = (product_rate(rows, 64, 4096, torch.float32) for rows in (256, 1))
    assert large > 2 * single


def test_a_copy_runs_at_a_believable_rate():
    assert 1e8 < copy_rate(1 << 24, repeats=2) < 1e13
