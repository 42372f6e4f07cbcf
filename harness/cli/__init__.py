"""The commands, a module a family. Each parses, calls one room, and prints what it got."""
