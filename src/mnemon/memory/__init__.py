from mnemon.memory.document import Document
from mnemon.memory.fingerprint import Fingerprint
from mnemon.memory.store import DocumentStore, Entries

__all__ = ["Document", "DocumentStore", "Entries", "Fingerprint"]
