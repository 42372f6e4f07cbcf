"""Our generator beside others: how accurate its response times are, and what an upload costs.

session.py runs a benchmark of accuracy.py and cost.py, in the order of schedule.py, each trial with round.py. tools/ has the
generators; reference_server.py and nginx_sink.py are what they send to. results.py is the record (results.json), tables.py
and chart.py present it.
"""
