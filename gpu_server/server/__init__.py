"""The server: sockets, journal, spool, scheduler, worker processes. No arrays, no torch.

    app         start to end                       settings, security       options, keys and the allow-list
    control     requests about jobs, from memory   service, dispatch        jobs: accepted, given to workers, ended
    data        bytes of files, in parts           worker_slots, _process   the workers and their pipes
    sockets     the loop under control and data    mailbox                  calls between threads, slow work in a pool
    job_store   jobs in memory and journal         counters, metrics,       what an operator sees
                                                   server_status
    jobs, scheduler, watchers, eviction, blob_index: logic without I/O    journal, schema, spool, inputs: disk

The control thread owns the table of jobs; other threads post calls to its mailbox.
"""
