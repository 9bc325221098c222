"""The server: sockets, journal, spool, scheduler, worker processes. No arrays, no torch.

    app         start to end                      settings, security    what it is told, whom it lets in
    control     control thread: requests ->       service               what a client may ask
    sockets     the loop under control and data   dispatch, worker_slots jobs to worker processes and back
    data        data thread: parts of files       worker_process        one worker process and its pipes
    job_store   jobs in memory and journal       background            slow work in a pool
    jobs, scheduler, watchers, eviction, blob_index: logic without I/O    journal, spool, inputs: disk

The control thread owns the table of jobs; other threads post calls to its mailbox.
"""
