from mnemon.generate.generation import Generation, Remembered, Token
from mnemon.generate.generator import Generator
from mnemon.generate.sampling import Sampling
from mnemon.generate.text import generate

__all__ = ["Generation", "Generator", "Remembered", "Sampling", "Token", "generate"]
