"""Quality: every row is checked against every rule. None is dropped, and each finding says why."""
