"""DEST in an object store: bodies there, ledger and state in a directory and, in pieces, there.

    PREFIX/HOST/PATH…                         bodies (`sinks/objects`), or containers (`shipping`)
    PREFIX/_fetchpool/lock                    who is at it (`lease`)
                     /run.json                which pieces are the ledger, and the state
                     /results-…-000017.jsonl  a piece of the ledger (`pieces`)

    DIR/results.jsonl, DIR/.fetchpool/        as in any DEST; `.fetchpool/remote.json` says how much
                                              of it is in the store (`published`)

`bucket` is all that is asked of a store, `run` what a run does with it, in its order.
"""
