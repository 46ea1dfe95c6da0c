//! A panic of any thread ends the process, loudly: a daemon that lives on without one of its threads would look
//! healthy while it loses events. The supervisor starts it again.

use std::any::Any;
use std::panic;
use std::process;

/// Logs panics as errors, with their place, and aborts.
pub(crate) fn log_and_abort() {
    panic::set_hook(Box::new(|panic| {
        let text = text(panic.payload());
        let place =
            panic.location().map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
        let thread = std::thread::current();
        let thread = thread.name().unwrap_or("without a name");
        log::error!(
            "Internal error at {place} (thread {thread}): {text}. The process ends; please report this line."
        );
        process::abort();
    }));
}

fn text(payload: &dyn Any) -> &str {
    match (payload.downcast_ref::<&str>(), payload.downcast_ref::<String>()) {
        (Some(text), _) => text,
        (None, Some(text)) => text,
        (None, None) => "without a text",
    }
}
