//! What a file was like when it was hashed, so that it need not be hashed at every start.
//!
//! A file whose inode, size and times are the same has the same bytes: the kernel sets the time of the
//! last change at every write, and nobody but an administrator who turns the clock can set it back.

use std::{
    fmt::Write as _,
    fs,
    os::unix::fs::MetadataExt as _,
    time::{SystemTime, UNIX_EPOCH},
};

/// A file that changed less than this before it was looked at may change again within the same tick of
/// the kernel's clock.
const SETTLED_SECONDS: i64 = 2;

/// Inode, size and times of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    device: u64,
    inode: u64,
    size: u64,
    changed: (i64, i64),
    modified: (i64, i64),
}

impl Mark {
    pub(crate) fn of(metadata: &fs::Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        }
    }

    /// Name of the file that remembers its hash.
    pub(crate) fn name(&self) -> String {
        format!("{:x}-{:x}.seen", self.device, self.inode)
    }

    /// All of it, in one word.
    pub(crate) fn text(&self) -> String {
        let Self { device, inode, size, changed, modified } = self;
        format!(
            "{device:x}-{inode:x}-{size}-{}.{}-{}.{} ",
            changed.0, changed.1, modified.0, modified.1
        )
    }

    /// Whether the last change lies so far back that another one would show.
    pub(crate) fn is_settled(&self) -> bool {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        i64::try_from(now).is_ok_and(|now| self.changed.0 + SETTLED_SECONDS < now)
    }

    /// The same, long ago.
    #[cfg(test)]
    pub(crate) fn settled(mut self) -> Self {
        self.changed.0 -= 60;
        self
    }
}

/// Bytes as hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes everything");
        text
    })
}
