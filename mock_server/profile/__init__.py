"""Units, distributions, the server's keys and validation messages. Pure and public."""
