from mnemon.memory.checks import Finding, check
from mnemon.memory.contents import Contents, Entry
from mnemon.memory.document import Document
from mnemon.memory.files import Forgotten, forget, load, opened, save, show
from mnemon.memory.fingerprint import Fingerprint
from mnemon.memory.folder import is_memory
from mnemon.memory.index_file import read as read_contents
from mnemon.memory.merging import merge
from mnemon.memory.store import DocumentStore, Entries
from mnemon.memory.writer import Saved, Writer, writing

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
    "Writer",
    "check",
    "forget",
    "is_memory",
    "load",
    "merge",
    "opened",
    "read_contents",
    "save",
    "show",
    "writing",
]
