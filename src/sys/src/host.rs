//! What the machine says about itself.

/// The host's name as the kernel knows it, for instance `web1`; `localhost` if it has none.
pub fn name() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    if name.is_empty() || name == "(none)" { "localhost".to_owned() } else { name }
}
