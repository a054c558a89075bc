"""Pages for the operator: runs, what their rules found, what they read and wrote. Numbers and ids only, no personal value."""
