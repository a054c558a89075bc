"""What people judge of linking: pairs that the machine leaves unsure, and models that would link otherwise.

A decision (who, when, why) outlives every re-run, and the machine never overrules it: it tells where it thinks otherwise.
Reviewers are given pairs; they cannot look for one. This room reads the lake and writes decisions; the next reconcile heeds
them.
"""
