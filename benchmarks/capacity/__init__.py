"""Whether `harness capacity` finds what is there: searches of servers of which the truth is known, and predictions held against runs."""
