"""`make chaos JOBS=… SEED=… RUNS=…`: real processes under a load of mixed faults, while they are killed and disturbed.

A run goes through phases (run.py): calm, plain load, loud load without kills, memory at its limit, kills, calm again. A
quiet tenant posts plain jobs all the time and is measured in each. The oracle (oracle.py) trusts the sandbox's bill,
the bytes in the store and the receiver's inbox; of our own records it believes nothing that those do not confirm.
The seed decides faults and schedule; what the machine does between is its own.
"""
