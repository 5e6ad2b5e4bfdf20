from mnemon.studies.demo import STEPS, demo

__all__ = ["STEPS", "demo"]
