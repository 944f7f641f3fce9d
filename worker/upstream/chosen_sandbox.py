"""The sandbox of the provider in chosen.py: a module of its own, so that no worker and no API loads it."""

from worker.upstream.modelslab.sandbox.app import create_sandbox
from worker.upstream.modelslab.sandbox.server import BACKLOG, build_server

__all__ = ["BACKLOG", "build_server", "create_sandbox"]
