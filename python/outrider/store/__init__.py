"""What is kept: the only room with disk and database. Its blocking work runs in threads."""
