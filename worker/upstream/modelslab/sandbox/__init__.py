"""A server that speaks the upstream's wire protocol, so that everything runs with no account, no network, no spend.

What it is: keys, validation, `processing`, images that are really rendered, callbacks over a real socket, fetch, a
queue limit with 429, and a bill of every POST. Its answers are bound to recordings of what is documented
(tests/recordings), not to our client's own models.

What it is not: it generates nothing from a model, checks no content, forgets everything when it stops. It knows
only what is documented; where the real service does otherwise, a recording has to be added first.

Faults are asked for inside the prompt, as `[[name]]` or `[[name=value]]`: see faults.py for all of them.
"""
