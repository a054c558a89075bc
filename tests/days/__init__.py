"""Days on a small world: what changed is landed, linked, merged, checked and published, and must leave what a full run leaves."""
