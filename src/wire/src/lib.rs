//! The formats that travel between daemons and hosts
