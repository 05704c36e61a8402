"""API requests passed on and answered: the table of calls, the queue, the calls themselves, the local socket."""
