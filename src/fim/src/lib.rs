//! File integrity: the record, its comparison, the report
