"""The generator measured against others: is what it says true (truth.py), and what does an upload cost it (cost.py)?

peers/ has one tool a module, and ours as one of them. sink.py and known_server.py are what they are pointed at;
tally.py watches a tool's processes; *_figures.py are pure; tables.py and chart.py say what came out.
"""
