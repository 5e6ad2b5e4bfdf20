"""The causal buckets of T5 with 32 buckets and distance 128, as in arXiv 2203.08913, section 3.1."""

import math

import torch

from mnemon.positions.t5 import bucket

# First distance of buckets 16..31: the smallest whole number not below 16 * 8^(i / 16).
FIRST = [16, 19, 21, 24, 27, 31, 35, 40, 46, 52, 59, 67, 77, 87, 99, 113]


def test_the_table_of_first_distances_is_the_formula() -> None:
    assert [math.ceil(16 * 8 ** (i / 16) - 1e-9) for i in range(16)] == FIRST


def test_buckets_up_to_distance_200_are_those_of_the_table() -> None:
    expected = list(range(16)) + [15 + sum(first <= distance for first in FIRST) for distance in range(16, 201)]
    assert bucket(torch.arange(201)[None], 32, 128)[0].tolist() == expected


def test_all_distances_beyond_128_share_the_last_bucket() -> None:
    assert bucket(torch.tensor([[113, 128, 129, 10_000, 2**31]]), 32, 128).unique().tolist() == [31]
