from mnemon.evaluate.bootstrap import Difference, bootstrap
from mnemon.evaluate.evaluation import Evaluation, Result, evaluate
from mnemon.evaluate.heads import Head
from mnemon.evaluate.identifiers import KINDS, Name, kinds, names
from mnemon.evaluate.inspection import Inspection, inspect
from mnemon.evaluate.metrics import METRICS
from mnemon.evaluate.reading import Text, prepared
from mnemon.evaluate.retrieval import Returned, by_gain, looked_up, rates
from mnemon.evaluate.scored import Scored
from mnemon.evaluate.tracing import Found, Look, traced

__all__ = [
    "KINDS",
    "METRICS",
    "Difference",
    "Evaluation",
    "Found",
    "Head",
    "Inspection",
    "Look",
    "Name",
    "Result",
    "Returned",
    "Scored",
    "Text",
    "bootstrap",
    "by_gain",
    "evaluate",
    "inspect",
    "kinds",
    "looked_up",
    "names",
    "prepared",
    "rates",
    "traced",
]
