from mnemon.evaluate.bootstrap import Difference, bootstrap
from mnemon.evaluate.episode import Episode, Evidence, Question, Told, Writer
from mnemon.evaluate.evaluation import Evaluation, Result, evaluate, memory_sizes
from mnemon.evaluate.haystack import Haystack
from mnemon.evaluate.heads import Head
from mnemon.evaluate.identifiers import KINDS, Name, kinds, names
from mnemon.evaluate.inspection import Inspection, inspect
from mnemon.evaluate.metrics import METRICS
from mnemon.evaluate.proportion import wilson
from mnemon.evaluate.reading import Text, prepared
from mnemon.evaluate.recall_tasks import TASKS
from mnemon.evaluate.retrieval import Returned, View, by_gain, looked_up, rates
from mnemon.evaluate.ruler import RULER
from mnemon.evaluate.scored import Scored
from mnemon.evaluate.tracing import Found, Look, traced

__all__ = [
    "KINDS",
    "METRICS",
    "RULER",
    "TASKS",
    "Difference",
    "Episode",
    "Evaluation",
    "Evidence",
    "Found",
    "Haystack",
    "Head",
    "Inspection",
    "Look",
    "Name",
    "Question",
    "Result",
    "Returned",
    "Scored",
    "Text",
    "Told",
    "View",
    "Writer",
    "bootstrap",
    "by_gain",
    "evaluate",
    "inspect",
    "kinds",
    "looked_up",
    "memory_sizes",
    "names",
    "prepared",
    "rates",
    "traced",
    "wilson",
]
