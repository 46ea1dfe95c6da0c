//! Watches files for changes
