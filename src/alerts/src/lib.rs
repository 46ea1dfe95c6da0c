//! The alert value, its text and its JSON
