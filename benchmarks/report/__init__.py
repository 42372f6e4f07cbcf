"""How quickly reports are made, measured on synthetic runs."""
