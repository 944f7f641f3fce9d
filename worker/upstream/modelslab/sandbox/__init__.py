"""The sandbox: a test double of the upstream with its wire protocol. It needs no account, no network and no money.

It has keys, validation, `processing`, images that are really rendered, callbacks over a real socket, fetch, a queue
limit with 429, and a bill of every POST. Its answers are bound to recordings of the documentation (tests/recordings),
not to the models of our own client.

It runs no model, checks no content, and forgets everything when it stops. It knows only what is documented. If the real
service behaves differently, add a recording first.

Faults are asked for inside the prompt, as `[[name]]` or `[[name=value]]`: see faults.py for all of them.
"""
