"""Detached tuning: a controller that continues without the person who launched it.

`launching` records a controller and starts it: `local_process` as a process of this machine, or
`job_run` as a job run of OCI Data Science. What the controller needs travels as a `Recipe`.
`handle` follows it. The controller itself is `tune_jobs.cli.controller`.
"""
