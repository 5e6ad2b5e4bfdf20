from mnemon.cli.main import main

__all__ = ["main"]
