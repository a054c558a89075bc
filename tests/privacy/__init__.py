"""No personal value leaves by a log, an error or a screen: what a run says is searched for a thousand known people."""
