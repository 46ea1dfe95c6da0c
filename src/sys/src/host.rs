//! What the machine says about itself.

/// The host's name as the kernel knows it, for instance `web1`; `localhost` if it has none.
pub fn name() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    if name.is_empty() || name == "(none)" { "localhost".to_owned() } else { name }
}

/// The host's name without its domain: `web1` for `web1.example.org`.
pub fn short_name() -> String {
    let name = name();
    name.split('.').next().filter(|short| !short.is_empty()).unwrap_or(&name).to_owned()
}
