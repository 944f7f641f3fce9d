"""`darkroom up`: keeps the whole stack running until Ctrl-C and prints its addresses."""

import argparse
import time

from rich.console import Console

from api.cli.stack.running import FOLDER
from api.cli.stack.stack import Stack, running_stack

LOOK_SECONDS = 0.5


def run(_: argparse.Namespace) -> int:
    """Runs until SIGINT or SIGTERM (exit code 0), or until a part dies (exit code 1)."""
    console = Console(highlight=False, soft_wrap=True)
    try:
        with (
            console.status("starting") as status,
            running_stack(FOLDER, throwaway=False, tell=lambda name: status.update(f"starting {name}")) as stack,
        ):
            status.stop()
            console.print(_addresses(stack))
            dead = _wait(stack)
            console.print(f"[red]{dead} has ended[/], so everything is stopped. Its last words:")
            console.print(stack.children.last_words(dead), markup=False)
            return 1
    except KeyboardInterrupt:
        console.print("everything that was started has been stopped")
        return 0


def _wait(stack: Stack) -> str:
    """The name of the first part that ends by itself."""
    while not (name := stack.children.dead()):
        time.sleep(LOOK_SECONDS)
    return name


def _addresses(stack: Stack) -> str:
    post = (
        f"curl -s {stack.api_url}/v1/jobs -H 'Authorization: Bearer {stack.secrets.key}' "
        '-H \'Content-Type: application/json\' -d \'{"model_id":"model_id","prompt":"a quiet harbour at dawn"}\''
    )
    return (
        f"\n[bold]Darkroom is up[/] with a sandbox upstream: no model, no account, no spend. Ctrl-C stops it.\n\n"
        f"  API       {stack.api_url}  (docs at {stack.api_url}/docs)\n"
        f"  API key   {stack.secrets.key}\n"
        f"  Flower    {stack.flower_url}  user demo, password {stack.secrets.flower_password}\n"
        f"  sandbox   {stack.sandbox_url}  (faults, and the bill)\n"
        f"  images  {stack.images}\n"
        f"  logs      {stack.folder / 'logs'}\n\n{post}\n"
    )
