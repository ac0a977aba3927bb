"""Plain loops with one wiring fault each, and healthy ones in the ways that people write them."""
