"""How bytes move: the only room with sockets."""
