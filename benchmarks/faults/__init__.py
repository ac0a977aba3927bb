"""The fault library: games made sick on purpose, each with the names that are right for it.

`recipes.FAULTS` are edits of our own recipes at three severities; `healthy.CONFIGURATIONS` are runs
that nothing should be said of. Whoever diagnoses is scored by `python -m benchmarks.diagnosis`.
"""
