"""Other people's records: text, CSV and JSON lines, read as a trace. No torch."""

from equipoise.logs.reader import read_log

__all__ = ["read_log"]
