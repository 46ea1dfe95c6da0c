//! Runs active responses, and takes them back
