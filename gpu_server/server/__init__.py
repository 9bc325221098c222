"""The server: sockets, journal, spool, scheduler, worker processes. No arrays, no torch.

    app         start to end                      settings, security    what it is told, whom it lets in
    control     control thread: requests ->       service               what a client may ask
    sockets     the loop under control and data   dispatch, workers     jobs to worker processes and back
    data        data thread: parts of files       supervisor            one worker process and its pipes
    ledger      jobs in memory and journal        background            slow work in a pool
    jobs, scheduler, watchers, housekeeping, catalog: logic without I/O    journal, spool, inputs: disk

The control thread owns the table of jobs; other threads post calls to its mailbox.
"""
