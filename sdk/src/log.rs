//! Log lines to the host. Natively they go nowhere.

use crate::wit::llem::backend::host::Level;

/// Says something to every user.
///
/// ```
/// llem_sdk::log::warn("this release is not tested");
/// ```
pub fn warn(message: &str) {
    send(Level::Warn, message);
}

/// Says something to a curious user.
///
/// ```
/// llem_sdk::log::info("the table has 12 rows");
/// ```
pub fn info(message: &str) {
    send(Level::Info, message);
}

/// Says something to the plugin's author.
///
/// ```
/// llem_sdk::log::debug("plan of an empty configuration");
/// ```
pub fn debug(message: &str) {
    send(Level::Debug, message);
}

/// Makes a panic say where and why before it traps.
pub(crate) fn panics() {
    #[cfg(target_arch = "wasm32")]
    std::panic::set_hook(Box::new(|panic| send(Level::Error, &panic.to_string())));
}

fn send(level: Level, message: &str) {
    #[cfg(target_arch = "wasm32")]
    crate::wit::llem::backend::host::log(level, message);
    #[cfg(not(target_arch = "wasm32"))]
    let _ = (level, message);
}
