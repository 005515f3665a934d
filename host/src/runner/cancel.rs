//! The user's wish to stop: the first Ctrl-C ends the running trial in order, the second at once.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    flag,
};

/// Whether the user wants to stop; cheap to clone and to ask.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cancel {
    wanted: Arc<AtomicBool>,
}

impl Cancel {
    /// Watches the signals that ask a program to end.
    pub(crate) fn install() -> std::io::Result<Self> {
        let cancel = Self::default();
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            // Registered first, so that only a second signal finds the flag set. Engines end with the
            // host in any case: their supervisors notice.
            flag::register_conditional_shutdown(signal, 130, Arc::clone(&cancel.wanted))?;
            flag::register(signal, Arc::clone(&cancel.wanted))?;
        }
        Ok(cancel)
    }

    /// Whether to stop.
    pub(crate) fn is_wanted(&self) -> bool {
        self.wanted.load(Relaxed)
    }
}
