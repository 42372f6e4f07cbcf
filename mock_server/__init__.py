"""A mock of an election's upload server (Sirekap) whose overload, faults and data losses are configured."""
