"""Faults of the disk, tried at each system call of real processes (threats 32 to 34, 40)."""
