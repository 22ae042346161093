"""Measurements, signals, counts and verdicts. Pure functions of traces; nothing here reads or writes."""
