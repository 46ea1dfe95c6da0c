//! OSSEC's tolerant XML dialect
