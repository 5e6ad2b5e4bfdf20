from mnemon.report.chart import Chart
from mnemon.report.inspected import check_free
from mnemon.report.results import FORMAT, Results, parse_results

try:
    from mnemon.report.charts import write_chart
    from mnemon.report.inspection import write_inspection
    from mnemon.report.page import check_extra, write_page
except ModuleNotFoundError as error:
    if str(error.name).partition(".")[0] not in {"jinja2", "markupsafe", "matplotlib"}:
        raise
    from mnemon.report.missing import check_extra, write_chart, write_inspection, write_page

__all__ = [
    "FORMAT",
    "Chart",
    "Results",
    "check_extra",
    "check_free",
    "parse_results",
    "write_chart",
    "write_inspection",
    "write_page",
]
