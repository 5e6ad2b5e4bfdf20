from mnemon.config.base import Config, Problem, nearest
from mnemon.config.files import digest_of, read_json, replacing, sync_folder, told, write_json, write_text

__all__ = [
    "Config",
    "Problem",
    "digest_of",
    "nearest",
    "read_json",
    "replacing",
    "sync_folder",
    "told",
    "write_json",
    "write_text",
]
