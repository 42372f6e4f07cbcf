"""The generator measured against others: whether what it says is true, and what an upload costs it.

session.py holds a bench of truth.py and cost.py; turns.py says who plays when. peers/ has one tool a module, and ours as one of them. sink.py and known_server.py are what they are pointed at;
tally.py watches a tool's processes; *_figures.py are pure; results.py keeps what was seen,
tables.py and chart.py say what came out.
"""
