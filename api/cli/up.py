"""`darkroom up`: keeps the whole stack running until Ctrl-C and says where everything is."""

import signal
import threading
from pathlib import Path

from rich.console import Console

from api.cli.stack import Stack, new_stack

FOLDER = Path(".darkroom")


def run() -> int:
    """Runs until SIGINT or SIGTERM, or until a part dies."""
    console = Console()
    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())
    stack = new_stack(FOLDER, may_move=False)
    with console.status("starting") as status:
        stack.start(lambda name: status.update(f"starting {name}"))
    try:
        console.print(_addresses(stack), highlight=False, soft_wrap=True)
        while not stopping.wait(0.5):
            if name := stack.dead():
                console.print(f"[red]{name} has ended.[/] Its last words:\n{stack.tail(name)}")
                return 1
    finally:
        console.print("stopping")
        stack.stop()
    return 0


def _addresses(stack: Stack) -> str:
    post = (
        f"curl -s {stack.api_url}/v1/jobs -H 'Authorization: Bearer {stack.key}' "
        '-H \'Content-Type: application/json\' -d \'{"model_id":"model_id","prompt":"a quiet harbour at dawn"}\''
    )
    return (
        f"\n[bold]Darkroom is up[/] with a sandbox upstream: no model, no account, no spend. Ctrl-C stops it.\n\n"
        f"  API       {stack.api_url}  (docs at {stack.api_url}/docs)\n"
        f"  API key   {stack.key}\n"
        f"  Flower    {stack.flower_url}  user demo, password {stack.flower_password}\n"
        f"  sandbox   {stack.sandbox_url}  (faults, and the bill)\n"
        f"  pictures  {stack.images}\n"
        f"  logs      {stack.folder / 'logs'}\n\n{post}\n"
    )
