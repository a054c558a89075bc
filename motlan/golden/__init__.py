"""Golden records: what is true of a person, field by field, who says so, and who must be told."""
