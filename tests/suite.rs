//! The suite as a whole: the real programs, in an install root below a temporary folder.

#[path = "suite/harness.rs"]
mod harness;

#[path = "suite/active_response.rs"]
mod active_response;
#[path = "suite/agent.rs"]
mod agent;
#[path = "suite/agent_tools.rs"]
mod agent_tools;
#[path = "suite/baselines.rs"]
mod baselines;
#[path = "suite/diagnose.rs"]
mod diagnose;
#[path = "suite/disk_full.rs"]
mod disk_full;
#[path = "suite/enrolment.rs"]
mod enrolment;
#[path = "suite/file_options.rs"]
mod file_options;
#[path = "suite/file_to_alert.rs"]
mod file_to_alert;
#[path = "suite/hostile.rs"]
mod hostile;
#[path = "suite/hosts.rs"]
mod hosts;
#[path = "suite/inside.rs"]
mod inside;
#[path = "suite/installed.rs"]
mod installed;
#[path = "suite/lists.rs"]
mod lists;
#[path = "suite/log_to_alert.rs"]
mod log_to_alert;
#[path = "suite/maintenance.rs"]
mod maintenance;
#[path = "suite/monitord.rs"]
mod monitord;
#[path = "suite/nothing_lost.rs"]
mod nothing_lost;
#[path = "suite/packages.rs"]
mod packages;
#[path = "suite/planted.rs"]
mod planted;
#[path = "suite/read_only.rs"]
mod read_only;
#[path = "suite/recorded_files.rs"]
mod recorded_files;
#[path = "suite/reload.rs"]
mod reload;
#[path = "suite/rootcheck.rs"]
mod rootcheck;
#[path = "suite/server.rs"]
mod server;
#[path = "suite/shipped_rules.rs"]
mod shipped_rules;
