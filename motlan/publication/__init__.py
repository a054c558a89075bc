"""Publication: what changed is compared, held back where it changes too much, and numbered as one change feed."""
