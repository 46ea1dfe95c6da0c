//! SIGHUP: configuration, options and key are read again; whatever is wrong leaves all as it was.

use std::net::IpAddr;

use runtime::{Daemon, errno};
use settings::Client;

use super::{Shell, manners, open_speaker};
use crate::bucket::Bucket;
use crate::link::Moment;

impl Shell {
    pub(super) fn reload(&mut self, daemon: &mut Daemon) {
        let settings = match settings::load(daemon.config()) {
            Ok(settings) => settings,
            Err(errors) => {
                return log::error!("{errors} The configuration stays as it was.");
            }
        };
        for warning in &settings.warnings {
            log::warn!("{warning}");
        }
        let mut client = settings.client;
        bind(&mut client, self.bind);
        if client.servers.is_empty() {
            return log::error!(
                "(4105) No valid server IP found. The configuration stays as it was."
            );
        }
        let agent = match crate::read_key(&self.root) {
            Ok(agent) => agent,
            Err(failure) => return log::error!("{failure} The key stays as it was."),
        };
        if let Err(failure) = daemon.reload_options() {
            return log::error!("{failure}");
        }
        self.bucket = Bucket::new(daemon.options().number("agent.send_rate"));
        self.orders.set_responses(!client.disable_active_response);
        let verify = daemon.options().number("remoted.verify_msg_id") != 0;
        if client == self.client && agent == *self.speaker.agent() {
            return log::info!("Configuration read again: servers and key are the same.");
        }
        crate::write_local_info(&self.root, &agent, &client);
        match open_speaker(&self.root, agent, &client, verify) {
            Ok(speaker) => self.speaker = speaker,
            Err(error) => {
                let (folder, why) = (agents::counters::RIDS, errno(&error));
                return log::error!("'{folder}' cannot be read due to [{why}].");
            }
        }
        let waiting = self.intake.spool.rewind();
        self.wire.resent += waiting;
        self.client = client;
        self.line = None;
        self.probe = None;
        self.line_waits = false;
        self.probe_waits = false;
        self.held = None;
        self.blocked_until = Moment::ZERO;
        self.finder.forget();
        self.link.restart(manners(&self.client));
        log::info!("Configuration read again: calling '{}'.", self.server_name(0));
    }
}

/// The command line wins over the configuration.
pub(crate) fn bind(client: &mut Client, given: Option<IpAddr>) {
    client.local_ip = given.or(client.local_ip);
}
