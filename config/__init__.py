"""What is decided before a process starts: settings, Celery's options, the format of log lines.

May import nothing of ours: imports go api → worker → config.
"""
