//! Tells stale components by their hashes alone; builds nothing.

use std::{fs, path::Path};

use anyhow::Context as _;
use sha2::{Digest as _, Sha256};

use crate::{
    guests::{GUESTS, Guest},
    lock::Lock,
    source::{self, hex},
};

/// The command that mends a stale component.
pub const MEND: &str = "cargo xtask plugins build";

/// Every committed component whose bytes or sources differ from the lock, with the reason.
pub fn stale(root: &Path) -> anyhow::Result<Vec<String>> {
    let lock = Lock::read(root)?;
    let mut stale = Vec::new();
    for guest in &GUESTS {
        let Some(entry) = lock.entry(guest.name) else {
            stale.push(format!("`{}` has no lock entry", guest.name));
            continue;
        };
        if hex(&Sha256::digest(read_committed(root, guest)?)) != entry.sha256 {
            stale.push(format!("{} is not the file that the lock names", guest.component));
        }
        if source::hash(root, guest)? != entry.source {
            stale.push(format!("the sources of `{}` have changed since it was built", guest.name));
        }
    }
    Ok(stale)
}

/// The bytes of a committed component.
pub(crate) fn read_committed(root: &Path, guest: &Guest) -> anyhow::Result<Vec<u8>> {
    let path = root.join(guest.component);
    fs::read(&path).with_context(|| format!("reading {}; `{MEND}` makes it", path.display()))
}
