"""The fault library: games made sick on purpose, each with the names that are right for it.

`recipes.FAULTS` are edits of our own recipes at three severities; `healthy.CONFIGURATIONS` are runs
that nothing should be said of, scored by `python -m benchmarks.diagnosis`. `wiring` holds plain
loops with one mistake each, scored by `python -m benchmarks.faults.wiring`.
"""
