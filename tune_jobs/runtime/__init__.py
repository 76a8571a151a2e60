"""The part of tune_jobs that travels into a job run.

Every module works on Python 3.8 and imports only the standard library; ``oci``, ``psutil`` and
``yaml`` are imported by the functions that need them.
"""
