from mnemon.report.results import FORMAT, Results, parse_results

try:
    from mnemon.report.page import check_extra, write_page
except ModuleNotFoundError as error:
    if str(error.name).partition(".")[0] not in {"jinja2", "markupsafe", "matplotlib"}:
        raise
    from mnemon.report.missing import check_extra, write_page

__all__ = ["FORMAT", "Results", "check_extra", "parse_results", "write_page"]
