from mnemon.memory.document import Document
from mnemon.memory.fingerprint import Fingerprint

__all__ = ["Document", "Fingerprint"]
