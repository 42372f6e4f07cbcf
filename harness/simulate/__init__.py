"""A run in virtual time: the same plan, sessions, links, overload model and faults as a real run, without sockets."""
