"""What must change: values in, plans and verdicts out. No I/O, no clock, no event loop."""
