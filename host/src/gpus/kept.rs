//! What a GPU was before a study set it: a file beside the GPU's lock, which whoever sets the GPU holds locked.
//!
//! A file with content that nobody holds is what a study left that was killed with its guard. It is emptied, never
//! removed, so that all who lock it lock the same file. It means nothing after a restart of the machine, which
//! takes settings of GPUs back.

use std::{
    fs::File,
    io::{self, ErrorKind, Read as _},
    os::unix::fs::{FileExt as _, MetadataExt as _},
    path::Path,
    time::{Duration, Instant},
};

use llem_meter::{Control, ControlError};
use rustix::fs::{FlockOperation, OFlags, flock};
use serde::{Deserialize, Serialize};

use crate::locks;

/// Ending of its name.
const ENDING: &str = "settings";
/// How long a guard may take to be done whose host was killed a moment ago.
const PATIENCE: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(20);

/// What has to be put back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Before {
    /// The power limit, where it was changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) power_limit_milliwatts: Option<u32>,
    /// Whether the SM clock was locked. Drivers do not tell what was locked before, so it is let go.
    #[serde(default)]
    pub(super) has_locked_sm_clock: bool,
}

/// The file's content.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    /// The machine's run that it holds for.
    boot: String,
    before: Before,
}

/// The file of one GPU, held.
#[derive(Debug)]
pub(super) struct Kept {
    file: File,
    pub(super) before: Before,
}

impl Before {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// How it is put back by hand.
    pub(crate) fn by_hand(&self, gpu: &str) -> String {
        let limit = self
            .power_limit_milliwatts
            .map(|it| format!("sudo nvidia-smi -i {gpu} -pl {}", f64::from(it) / 1e3));
        let clock = self.has_locked_sm_clock.then(|| format!("sudo nvidia-smi -i {gpu} -rgc"));
        limit.into_iter().chain(clock).collect::<Vec<_>>().join(" && ")
    }
}

impl Kept {
    /// Holds the file of a GPU; waits for a guard that is about to be done.
    pub(super) fn hold(directory: &Path, gpu: &str) -> io::Result<Self> {
        let path = locks::file_of(directory, gpu, ENDING);
        let mut file = locks::open(directory, &path, OFlags::RDWR)?;
        believed(&file)?;
        let deadline = Instant::now() + PATIENCE;
        while flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            if Instant::now() > deadline {
                let why = format!("another guard holds `{}`", path.display());
                return Err(io::Error::new(ErrorKind::ResourceBusy, why));
            }
            std::thread::sleep(LOOK);
        }
        let before = content(&mut file)?;
        Ok(Self { file, before })
    }

    /// Notes what has to be put back, before anything is changed.
    pub(super) fn note(&mut self, before: Before) -> io::Result<()> {
        let text = if before.is_empty() {
            String::new()
        } else {
            let content = Content { boot: boot(), before: before.clone() };
            serde_json::to_string(&content).expect("it has string keys only")
        };
        self.file.write_all_at(text.as_bytes(), 0)?;
        self.file.set_len(u64::try_from(text.len()).unwrap_or(0))?;
        self.before = before;
        Ok(())
    }

    /// Puts everything back.
    pub(super) fn restore(&mut self, control: &Control) -> Result<(), RestoreError> {
        self.restore_power_limit(control)?;
        self.restore_sm_clock(control)
    }

    /// Puts the power limit back, where it was changed.
    pub(super) fn restore_power_limit(&mut self, control: &Control) -> Result<(), RestoreError> {
        let Some(limit) = self.before.power_limit_milliwatts else { return Ok(()) };
        control.set_power_limit(limit)?;
        Ok(self.note(Before { power_limit_milliwatts: None, ..self.before.clone() })?)
    }

    /// Lets the SM clock go, where it was locked.
    pub(super) fn restore_sm_clock(&mut self, control: &Control) -> Result<(), RestoreError> {
        if !self.before.has_locked_sm_clock {
            return Ok(());
        }
        control.unlock_sm_clock()?;
        Ok(self.note(Before { has_locked_sm_clock: false, ..self.before.clone() })?)
    }
}

/// Why a GPU is not what it was.
#[derive(Debug, thiserror::Error)]
pub(super) enum RestoreError {
    #[error(transparent)]
    Control(#[from] ControlError),
    #[error(transparent)]
    File(#[from] io::Error),
}

/// What has to be put back of a GPU, without touching it; none where nothing has.
pub(super) fn marked(gpu: &str) -> Option<Before> {
    let mut file = existing(&locks::directory(), gpu)?;
    content(&mut file).ok().filter(|it| !it.is_empty())
}

/// The same where no guard is there to do it: what a dead study has left.
pub(crate) fn left(gpu: &str) -> Option<Before> {
    left_in(&locks::directory(), gpu)
}

fn left_in(directory: &Path, gpu: &str) -> Option<Before> {
    let mut file = existing(directory, gpu)?;
    flock(&file, FlockOperation::NonBlockingLockShared).ok()?;
    content(&mut file).ok().filter(|it| !it.is_empty())
}

/// The file of a GPU, where there is one to be believed: most machines never have any.
fn existing(directory: &Path, gpu: &str) -> Option<File> {
    let path = locks::file_of(directory, gpu, ENDING);
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = File::from(rustix::fs::open(path, flags, rustix::fs::Mode::empty()).ok()?);
    believed(&file).ok().map(|()| file)
}

/// A file that somebody else could have written would let him choose what is set.
fn believed(file: &File) -> io::Result<()> {
    let metadata = file.metadata()?;
    let own = rustix::process::geteuid().as_raw();
    let is_ours = metadata.uid() == own || metadata.uid() == 0;
    if is_ours && metadata.mode() & 0o022 == 0 && metadata.is_file() {
        return Ok(());
    }
    Err(io::Error::new(ErrorKind::PermissionDenied, "it is another user's, or others can write it"))
}

/// What is to be put back; of an earlier run of the machine that is nothing.
fn content(file: &mut File) -> io::Result<Before> {
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    if text.is_empty() {
        return Ok(Before::default());
    }
    let content: Content = serde_json::from_str(&text).map_err(io::Error::other)?;
    Ok(if content.boot == boot() { content.before } else { Before::default() })
}

fn boot() -> String {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    text.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn before(limit: u32) -> Before {
        Before { power_limit_milliwatts: Some(limit), has_locked_sm_clock: true }
    }

    #[test]
    fn what_is_held_is_not_left_and_what_is_left_is_told_with_how_to_mend_it() {
        let home = tempfile::tempdir().expect("a directory");
        let directory = home.path().join("llem");
        assert_eq!(left_in(&directory, "GPU-a"), None);
        let mut kept = Kept::hold(&directory, "GPU-a").expect("nobody has it");
        kept.note(before(700_000)).expect("writable");
        assert_eq!(left_in(&directory, "GPU-a"), None, "its guard lives");
        drop(kept);
        let left = left_in(&directory, "GPU-a").expect("its guard is gone");
        assert_eq!(left, before(700_000));
        assert_eq!(
            left.by_hand("GPU-a"),
            "sudo nvidia-smi -i GPU-a -pl 700 && sudo nvidia-smi -i GPU-a -rgc"
        );
        let mut again = Kept::hold(&directory, "GPU-a").expect("nobody has it");
        assert_eq!(again.before, before(700_000));
        again.note(Before::default()).expect("writable");
        drop(again);
        assert_eq!(left_in(&directory, "GPU-a"), None);
    }

    #[test]
    fn a_restart_of_the_machine_has_put_everything_back() {
        let home = tempfile::tempdir().expect("a directory");
        let mut kept = Kept::hold(home.path(), "GPU-a").expect("nobody has it");
        kept.note(before(1)).expect("writable");
        let path = locks::file_of(home.path(), "GPU-a", ENDING);
        let text = std::fs::read_to_string(&path).expect("readable").replace(&boot(), "earlier");
        std::fs::write(&path, text).expect("writable");
        drop(kept);
        assert_eq!(left_in(home.path(), "GPU-a"), None);
    }

    #[test]
    fn a_file_that_others_can_write_is_not_believed() {
        let home = tempfile::tempdir().expect("a directory");
        drop(Kept::hold(home.path(), "GPU-a").expect("nobody has it"));
        let path = locks::file_of(home.path(), "GPU-a", ENDING);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).expect("ours");
        assert!(Kept::hold(home.path(), "GPU-a").is_err());
        assert_eq!(left_in(home.path(), "GPU-a"), None);
    }
}
