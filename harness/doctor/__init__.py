"""Whether this machine is fit to measure: one module a check, each a measurement and a judgement of what was seen."""
