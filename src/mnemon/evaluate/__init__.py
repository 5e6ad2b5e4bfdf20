from mnemon.evaluate.bootstrap import Difference, bootstrap
from mnemon.evaluate.evaluation import Evaluation, Result, evaluate
from mnemon.evaluate.metrics import METRICS
from mnemon.evaluate.scored import Scored

__all__ = ["METRICS", "Difference", "Evaluation", "Result", "Scored", "bootstrap", "evaluate"]
