"""What bytes mean: the wire of specification 1 to 3, without I/O, clock or event loop.

Bytes and time come in as arguments, events and bytes go out as values. Nothing here waits.
"""
