"""Quarantine: what became of the rows that blocking rules held back.

The rows themselves stay in the lake (`quarantine.<dataset>`), one for each time they came. An *entry* in the store is
one bad record with one content, however often it comes: it is open until a person fixes or waives it and a replay takes
it in, or until its source sends a newer row that is accepted. Values never enter an entry; a fix is kept as a payload.
"""

LIVE = ("open", "fixed", "waived")
"""States of an entry that waits for something."""
