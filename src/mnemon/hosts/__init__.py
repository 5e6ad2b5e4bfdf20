from importlib.util import find_spec

from mnemon.config import Problem

if find_spec("transformers") is None:
    raise Problem("attaching a memory to a model needs transformers: pip install 'mnemon[hf]'")

from mnemon.hosts.asking import Answer, ask, drawing
from mnemon.hosts.attach import attach, detach
from mnemon.hosts.citing import Citation, Cited
from mnemon.hosts.config import MemoryConfig
from mnemon.hosts.fingerprint import weights_digest
from mnemon.hosts.folder import host_settings, load_host, pretrained, save_host
from mnemon.hosts.lanes import LaneMemory
from mnemon.hosts.learning import Learns, let_learn, start_equal
from mnemon.hosts.lora import LoraConfig
from mnemon.hosts.memory import Memory
from mnemon.hosts.model import HostModel
from mnemon.hosts.passages import Passage, passages
from mnemon.hosts.prefix import add_persistent, export_prefix, import_prefix
from mnemon.hosts.remembering import Keeping, Remembered, Source, remember, sources
from mnemon.hosts.support import FAMILIES, Family, family

__all__ = [
    "FAMILIES",
    "Answer",
    "Citation",
    "Cited",
    "Family",
    "HostModel",
    "Keeping",
    "LaneMemory",
    "Learns",
    "LoraConfig",
    "Memory",
    "MemoryConfig",
    "Passage",
    "Remembered",
    "Source",
    "add_persistent",
    "ask",
    "attach",
    "detach",
    "drawing",
    "export_prefix",
    "family",
    "host_settings",
    "import_prefix",
    "let_learn",
    "load_host",
    "passages",
    "pretrained",
    "remember",
    "save_host",
    "sources",
    "start_equal",
    "weights_digest",
]
