"""Workers on other machines: who may join, by which clocks, and what is said on the way."""
