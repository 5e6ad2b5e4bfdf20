from mnemon.config.base import Config, Problem, nearest
from mnemon.config.files import read_json, replacing, sync_folder, told, write_json, write_text

__all__ = ["Config", "Problem", "nearest", "read_json", "replacing", "sync_folder", "told", "write_json", "write_text"]
