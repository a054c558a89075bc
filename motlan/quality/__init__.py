"""Quality: every row is asked every rule; none is dropped, and each finding says why."""
