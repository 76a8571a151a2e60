"""A study that lives in a bucket: an SQLite database whose transactions are objects.

    PREFIX/log/0000000012.z    transaction 12: its statements, put only if absent
    PREFIX/base/0000000900.z   the database after transaction 900, to open it fast

Each process executes the log in a private copy (`copy`), and reads from that. A transaction is
executed on the copy, put as the next entry of the log, and then committed to the copy
(`connection`). It all is a dialect of SQLAlchemy (`dialect`), so Optuna's storage and everything
else that uses an engine works on it. `docs/design/bucket.md` has the protocol and its invariants.

    dialect       the URLs, and the engine's connections
    connection    transactions that are published when they are committed
    repetition    a transaction that is executed again, after those of others
    replica       the log: look for new entries, append one, found a new log
    founding      the first entry, which is the schema
    copy          the private SQLite file
    bases         the database as an object
    base_check    what such a database may be
    entries       transactions as objects
    statements    what may be in them
    requests      repetition of requests
    stores        what a store of objects has to offer
    oci_store, folder_store, fsspec_store
                  such stores
    opening       stores and storages by URL
    removal       remove a database
    transfer      copy a database from and to an SQLite file
"""
