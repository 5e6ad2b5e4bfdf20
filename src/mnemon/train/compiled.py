import shutil

from torch import nn

from mnemon.config import Problem
from mnemon.model.block import FeedForward

COMPILERS = ("g++", "c++", "clang++")


def compile_parts(model: nn.Module) -> None:
    """Have PyTorch compile what every step computes alike: feed-forward layers, each in one piece.

    Weights keep their names. What reads a memory is left as it is: a search, a commit and a document that ends change
    shapes and Python values from step to step, and nothing of it would stay in one graph.
    """
    on_cpu = next(model.parameters()).device.type == "cpu"
    if on_cpu and not any(map(shutil.which, COMPILERS)):
        raise Problem("train.compile: PyTorch compiles for a CPU by a C++ compiler: install g++, or leave it out")
    found = [module for module in model.modules() if isinstance(module, FeedForward)]
    if not found:
        raise Problem("train.compile: this model has no feed-forward layers, which are what is compiled: leave it out")
    for module in found:
        module.compile()
