"""Measures the fan-out: one event to many sockets, next to three peers that do the same.

    make fanout                                   at 100, 500, 2,000 and 5,000 sockets, 2,000 also with 50 documents
    make fanout ARGS="--sockets 100 500 --json"   at those, with one line of JSON at the end
    make fanout ARGS="--profile"                  what the server's time goes to in a burst, for `bare` and `ours`

    bare    a plain ASGI app on the same uvicorn, which sends the same bytes to one socket after the other
    stock   Strawberry's own ASGI app, behind it a channel of broadcaster in memory
    node    graphql-ws with graphql-js and ws on Node.js, from tests/npm
    ours    the real app on the real store: the embedded database, or the one that MONGODB_URI names

Each is a process of its own, pinned to one core; the subscribers' process and the database have the others. Messages
are not compressed. The peers take turns, several times, and what is printed are medians over the turns; ratios are made
within a turn, so that what else the machine does concerns all of them alike.

`ours` writes its messages within the server's process through storage, a hundred in one entry: requests to the API, at
one message each, would cost the server's core more than telling a hundred sockets of it, and would be measured with it.
A burst's clock starts when it may be told: at the peers when it is handed over, at ours when its entry is applied. What
it is from the commit on is in a column of its own, and so are single events, of which nothing can be done together.
Latency is always from the commit.
"""
