"""What a run leaves: trace, findings, diagnosis, trial rows. Imports numpy, never torch."""

from equipoise.record.atomic import Lock, replacing, sweep_temporaries, write_bytes, write_text
from equipoise.record.judgement import Diagnosis, Evidence, Finding, Note, Prescription, Verdict
from equipoise.record.signals import SIGNALS, Signal, describe
from equipoise.record.trace import Blob, Series, Trace, TraceWriter
from equipoise.record.trial import TrialRow, TrialVerdict

__all__ = [
    "SIGNALS",
    "Blob",
    "Diagnosis",
    "Evidence",
    "Finding",
    "Lock",
    "Note",
    "Prescription",
    "Series",
    "Signal",
    "Trace",
    "TraceWriter",
    "TrialRow",
    "TrialVerdict",
    "Verdict",
    "describe",
    "replacing",
    "sweep_temporaries",
    "write_bytes",
    "write_text",
]
