"""WARC 1.1 (ISO 28500:2017): records of what went over the wire, and the index of them.

    Exchanged ──▶ writing ──▶ gzip members ──▶ a container (output/sinks/warc)
                     └──▶ cdx lines ──▶ sorted ──▶ NAME.cdxj
    a container ──▶ reading ──▶ cdx lines again, or one record

All here is bytes in, bytes out: which file they go to, and what is kept of it after a kill, is the
sink's business.
"""
