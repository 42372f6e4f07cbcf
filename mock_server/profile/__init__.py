"""The server's configuration: units, distributions, schema, validation messages. Pure and public."""
