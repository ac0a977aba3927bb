"""Plain loops with one wiring fault each, and healthy ones; does the audit name each, and only it?"""
