"""`--workers`: one run over several processes, each with a share of the hosts.

    dispatch        the parent: reads the list, sends requests to workers, passes outcomes on
    worker_handle   a worker as the parent sees it
    worker          a worker: a whole pipeline of its own
    link            what lies between the two
    messages        what they say to each other
    processes       workers that are processes of this machine
    worker_process  the program of such a process
    outbox          what a worker was given, kept until it is answered: it may die
    inbox           what a worker was given and has not begun
    pauses          what hosts asked for: a worker may be replaced
    sharing         which worker owns which host, and its part of the limits

The parent alone has the list, the ledger, the display and the exit status.
"""
