"""What a station does next. Pure: no socket and no clock of its own."""
