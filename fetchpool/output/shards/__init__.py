"""The shards of a list: what they have in common, how far they are, and what they come to.

    DEST/_shards.json                 what all shards must agree on (`agreement`)
        /shard-00003-of-00064/        a run directory like any other, or the same below a prefix
        /_manifest.json               what `merge` has found complete (`merging`)

`finding` finds the shards below a DEST, `standing` says how they stand, and `handover` lists where
redirects lead that another shard is to follow.
"""
