"""The pages of docs/ that are made from the code: `python -m docs._generate` writes them, and a test holds them against it.

It stands apart from the harness: it reads models, commands and modules, and nothing of it is shipped.
"""
