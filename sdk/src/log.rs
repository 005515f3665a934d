//! Log lines to the host. Natively they go nowhere.

/// Says something to every user.
pub fn warn(message: &str) {
    send(Level::Warn, message);
}

/// Says something to a curious user.
pub fn info(message: &str) {
    send(Level::Info, message);
}

/// Says something to the plugin's author.
pub fn debug(message: &str) {
    send(Level::Debug, message);
}

use crate::wit::llem::backend::host::Level;

fn send(level: Level, message: &str) {
    #[cfg(target_arch = "wasm32")]
    crate::wit::llem::backend::host::log(level, message);
    #[cfg(not(target_arch = "wasm32"))]
    let _ = (level, message);
}
