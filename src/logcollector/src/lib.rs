//! Watches log files and commands, and hands over what they say
