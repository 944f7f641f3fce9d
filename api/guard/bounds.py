"""How much of everything. A proxy in front may allow less, never more."""

KIB, MIB = 1024, 1024 * 1024

# one request
HEAD_BYTES = 32 * KIB
"""All header fields and the address together; trailers again as much."""
FIELD_BYTES = 16 * KIB
FIELDS = 100
ADDRESS_BYTES = 8 * KIB
PIECE_BYTES = 16 * KIB
"""What is fed to the parser at once: so much more than a bound may come before the bound is seen."""
REQUEST_SECONDS = 10.0
"""From a request's first byte, or from the connection's start, until the request is whole."""

# one connection
PIPELINED = 16
"""Requests that wait behind one that is being answered; then the connection ends with the last of them."""
UNREAD_SECONDS = 30.0
"""How long an answer may wait for its reader without a byte being taken."""
LINGER_SECONDS = 1.0
LINGER_BYTES = 256 * KIB
"""What is thrown away behind a refusal: closing under unread bytes would take the answer away from its reader."""

SYSTEM_BUFFER_BYTES = 128 * KIB
"""Of the system's own, each way: 5 MB a second over 50 ms."""

# all connections together
UNREAD_BYTES = 16 * MIB
"""Answers that their readers leave lying; beyond it the longest lying goes."""
HELD_BYTES = 8 * MIB
"""Requests that are not whole or not answered, without what only a key's owner can send."""
BEGUN_BYTES = 24 * KIB
"""What a request that is not whole counts for beside its bytes: measured, a task waits for it by then."""
HELD_BIG_BYTES = 64 * MIB
"""The same for what goes beyond SMALL_BYTES a request: batches, which are read behind a valid key."""
SMALL_BYTES = 64 * KIB
TICK_SECONDS = 1.0
"""Between two looks at the unread answers."""
TALLY_SECONDS = 60.0
"""Between two log lines about what was refused."""
