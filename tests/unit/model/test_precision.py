import torch

from mnemon.model import computing


def test_float32_computes_in_the_weights_own_type() -> None:
    with computing(torch.device("cpu"), "float32"):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32


def test_bfloat16_computes_products_in_it() -> None:
    with computing(torch.device("cpu"), "bfloat16"):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.bfloat16
