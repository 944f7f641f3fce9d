"""The job record and every decision about it: pure. Imports nothing of ours outside this folder, does no I/O.

Read record.py first, then attempts.py, then decisions.py.
"""
