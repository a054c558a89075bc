"""Sources that mean ill, or that nobody looks after: each ends in an error that names the source and the mend, or lands."""
