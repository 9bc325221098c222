"""Hosts and farms: knobs to a job, and what comes back. Each host has a package of its own here."""
