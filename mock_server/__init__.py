"""A mock of a Sirekap-like upload server that can have a bad day."""
