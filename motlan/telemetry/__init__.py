"""What an operator's tools read of a process at work: log lines as JSON, and traces. Both are off unless asked for.

Nothing here carries a personal value: names of steps and of what is declared, ids of runs, counts, seconds, classes of errors.
"""
