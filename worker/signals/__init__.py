"""Signals, verdicts, groups: pure functions of what was measured."""
