//! The life of a daemon: arguments, log, pid file, signals, privileges, sandbox
