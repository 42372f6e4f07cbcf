"""The Python API: what `import harness` offers to notebooks and scripts. harness/__init__.py imports it when it is first used."""
