"""The monitor inside other people's loops, one file per framework; each loads its own alone.

Accelerate needs none: `Monitor` takes prepared modules and optimizers as they are.
"""
