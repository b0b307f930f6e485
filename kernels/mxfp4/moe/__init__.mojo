"""The mixture-of-experts layer: which experts a token goes to (`router`, with `router_few` and `router_many`), in which order
the rows of all tokens are then multiplied (`sort`), the two products (`grouped_matmul`, whose work `schedule` divides), and the
weighted sum of what comes back (`combine`).

Three small kernels in place of the eight that a graph of general ops makes: at decode, each launch costs as much as the
work in it. Nothing waits for the host, and the same input gives the same bits.
"""
