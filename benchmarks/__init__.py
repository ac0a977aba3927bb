"""Measurements of Equipoise: run as modules, never imported by the package."""
