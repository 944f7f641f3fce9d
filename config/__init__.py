"""What is decided before a process starts: settings, Celery's options, the shape of log lines.

May import nothing of ours: the arrow is api → worker → config.
"""
