"""Measures the inbox: how its times grow with the messages, how fast a message is pushed, how much is written.

    make bench                                        the embedded engine, at 10,000 and, if that fills fast, 100,000
    make bench ARGS="--json"                          the same, with one line of JSON at the end
    MONGODB_URI=... make bench                        that database, at 10,000 and 1,000,000, the embedded one beside
    MONGODB_URI=... make bench ARGS="--messages 10000 100000"

A million messages take some minutes to fill and about 2 GB; databases of 100,000 and more are kept, under names that
begin with `cibench_`, and used again (`--refill` makes them anew, `--drop` removes them). What is measured is in one
file each:

    inbox.py  thread.py  send.py  reading.py    pages, sending, marking as read, the unread count: against a budget
    filters.py  search.py                       as they are
    latency.py  throughput.py                   from a request to a subscriber's socket, changes per second
    query.py                                    executing a page, beside graphql-js: `python -m bench.query`

Every figure is a median of interleaved runs in one process, next to the same at another size or next to a named peer,
because only such ratios say anything on another machine. The calls are those to the database, counted where they are
made; reading what does not fit into one reply of the database is counted once.
"""
