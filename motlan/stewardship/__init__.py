"""Stewardship: what people decide. Pairs that the machine leaves unsure, models, and values that are set aside.

A decision (who, when, why) outlives every re-run, and the machine never overrules it: it lists where it finds otherwise.
Reviewers are given pairs; they cannot look for one. This package reads the lake and writes decisions; the next reconcile
applies them.
"""
