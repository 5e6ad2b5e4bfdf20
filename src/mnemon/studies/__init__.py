from mnemon.studies.demo import STEPS, demo
from mnemon.studies.reproduce import TABLES, reproduce, write_result_page

__all__ = ["STEPS", "TABLES", "demo", "reproduce", "write_result_page"]
