"""Landing: what a source sent is kept as received before anything else happens to it."""
