"""Durable state of a study, and the only package that uses Optuna's private API.

A turn of the tuner is one transaction: `mirror.StudyMirror.commit` collects what changed in the
trials, `rdb_writer.RdbWriter.write` writes it, and `ledger.Ledger` adds the attempts, such as the
end of a job run in `ledger.Ledger.record_ended`. `lease.Lease` proves in the same transaction that
this process owns the study.

    mirror            the study in memory that samplers and pruners work on
    changes           what a turn changes, and the protocol of writers
    writers           choose a writer; the one for storages that are not relational
    rdb_writer        the one for relational storages: transactions, retries, the lease
    trial_rows        the rows of Optuna's tables that it writes
    fence             writes of Optuna's own loop, fenced by the lease
    ledger            the attempts of a study, written and read by the tuner
    ledger_reader     the same, read by the dashboard
    attempt_rows      attempts as rows of the ledger's table
    registration      the uid and metric store of a study
    schema            the ledger's tables and their migration
    lease             one owner of a study at a time
    controls          commands to the owner
    retry             databases that do not answer
    database          which database holds a study and its ledger
    study_reader      fast reads of Optuna's tables
    bulk_read         studies loaded by them
    optuna_tables     Optuna's tables
    callbacks         Optuna's callbacks outside of its own loop
"""
