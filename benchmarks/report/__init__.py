"""How quickly reports are made, on synthetic runs."""
