"""Tell: what a run left as one HTML page that needs nothing else. Imports no torch."""

from equipoise.report.page import write_report

__all__ = ["write_report"]
