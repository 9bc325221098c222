"""Farm submission from an artist's machine, and the commands that run on the farm's workers.

On the submitting machine:   shots -> bundle -> back end        (shots, assets, template, bundle, backends)
On a worker:                 session -> task, task, ... -> check (session, task, check; runs of `void-bridge farm`)

A bundle is a folder that describes the whole farm job: an Open Job Description template, its parameters, the files that
it reads and writes, and one job.json for each shot. Every back end starts from it.
"""
