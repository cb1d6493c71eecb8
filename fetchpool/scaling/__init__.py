"""`--workers`: one run over several processes, each with a share of the hosts.

    fleet     the workers of a run
    dispatch  the parent: reads, routes, counts, hands outcomes on
    child     a worker: a whole pipeline of its own
    hiring    where worker processes come from
    member    a worker as the parent sees it
    outbox    what a worker was given, until it is answered: it may die
    pauses    what hosts asked for: a worker may be replaced
    sharing   who owns which host, and how much of the limits

The parent alone has the list, the ledger, the display and the exit status. What a run without
workers needs of this is light; the rest is imported when there are to be some.
"""
