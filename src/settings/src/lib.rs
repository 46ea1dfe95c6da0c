//! ossec.conf and internal_options.conf: raw, then typed, then checked once
