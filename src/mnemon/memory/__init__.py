from mnemon.memory.checks import Finding, check
from mnemon.memory.contents import Contents, Entry
from mnemon.memory.contents import read as read_contents
from mnemon.memory.document import Document
from mnemon.memory.files import Forgotten, Saved, forget, load, save, show
from mnemon.memory.fingerprint import Fingerprint
from mnemon.memory.merging import merge
from mnemon.memory.store import DocumentStore, Entries

__all__ = [
    "Contents",
    "Document",
    "DocumentStore",
    "Entries",
    "Entry",
    "Finding",
    "Fingerprint",
    "Forgotten",
    "Saved",
    "check",
    "forget",
    "load",
    "merge",
    "read_contents",
    "save",
    "show",
]
