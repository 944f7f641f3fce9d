"""The job record and every decision about it. Pure: imports nothing of ours from outside this folder, does no I/O.

Read record.py first, then attempts.py, then decisions.py.
"""
