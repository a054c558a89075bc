"""OpenLineage events of runs, for a lineage catalogue: what a run read and wrote, and which column was made of which.

They are made of the ledger and of what is declared, so that the events of an earlier run can be made again. They hold names of
what is declared, ids of runs, counts and moments, and no value of any person. Off unless OpenLineage's own settings name a place.
"""
