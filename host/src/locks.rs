//! One study a GPU: locks by UUID across the studies and users of a machine, all or none.
//!
//! A lock is a file that its holder has locked, not a file that exists: whatever ends the holder frees it. Slices of a
//! GPU count by their own UUID.

use std::{
    fs::{File, OpenOptions, Permissions},
    io::{self, ErrorKind},
    os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::fs::{FlockOperation, Mode, OFlags, flock};

use crate::config;

/// Directories that every user can write, in order; memory first, since a lock means nothing after a restart.
const DIRECTORIES: &[&str] = &["/run/lock", "/var/lock", "/tmp"];

/// GPUs that no other study uses as long as this lives.
#[derive(Debug)]
pub(crate) struct Locked {
    _files: Vec<File>,
}

/// Why GPUs are not had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LockError {
    /// Another study uses one.
    #[error("the GPU {gpu} is in use by {}", holder.as_deref().unwrap_or("another study"))]
    InUse { gpu: String, holder: Option<String> },
    /// The user stopped waiting.
    #[error("stopped while waiting for the GPU {0}")]
    Cancelled(String),
    /// A lock can't be made.
    #[error("failed to lock the GPU {gpu} with `{}`", path.display())]
    Io {
        gpu: String,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// Locks all of these GPUs or none.
pub(crate) fn try_lock(gpus: &[String]) -> Result<Locked, LockError> {
    try_lock_in(&directory(), gpus)
}

/// The directory that all studies of the machine share.
pub(crate) fn directory() -> PathBuf {
    let named = config::LOCK_DIRECTORY.path();
    let shared = DIRECTORIES.iter().map(Path::new).find(|it| it.is_dir());
    named.unwrap_or_else(|| shared.unwrap_or(Path::new("/tmp")).join("llem"))
}

/// The file of a GPU with this ending, whatever its name contains.
pub(crate) fn file_of(directory: &Path, gpu: &str, ending: &str) -> PathBuf {
    let plain: String =
        gpu.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' }).collect();
    directory.join(format!("{plain}.{ending}"))
}

/// Locks all of these GPUs, and waits for those that others use, holding none of them meanwhile.
pub(crate) fn wait(
    gpus: &[String],
    cancelled: &dyn Fn() -> bool,
    say: &mut dyn FnMut(&LockError),
) -> Result<Locked, LockError> {
    let mut said = None;
    loop {
        match try_lock(gpus) {
            Err(LockError::InUse { gpu, holder }) => {
                if cancelled() {
                    return Err(LockError::Cancelled(gpu));
                }
                let error = LockError::InUse { gpu, holder };
                let text = error.to_string();
                if said.as_ref() != Some(&text) {
                    say(&error);
                    said = Some(text);
                }
                std::thread::sleep(Duration::from_millis(200));
            }
            other => return other,
        }
    }
}

fn try_lock_in(directory: &Path, gpus: &[String]) -> Result<Locked, LockError> {
    // One order for everybody, and each once.
    let mut names: Vec<&String> = gpus.iter().collect();
    names.sort();
    names.dedup();
    let mut files = Vec::new();
    for gpu in names {
        let path = file_of(directory, gpu, "lock");
        let file = open(directory, &path, OFlags::RDONLY).map_err(|source| LockError::Io {
            gpu: gpu.clone(),
            path: path.clone(),
            source,
        })?;
        // The locks so far go with this function.
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            return Err(LockError::InUse { gpu: gpu.clone(), holder: holder(&file) });
        }
        files.push(file);
    }
    Ok(Locked { _files: files })
}

/// Opens a lock that anybody may have made. Reading is enough to lock, so nobody else has to be able to write it.
pub(crate) fn open(directory: &Path, path: &Path, access: OFlags) -> io::Result<File> {
    match std::fs::DirBuilder::new().mode(0o777).create(directory) {
        // As in /tmp: everybody makes files, nobody removes those of others. The mask may have taken bits away.
        Ok(()) => std::fs::set_permissions(directory, Permissions::from_mode(0o1777))?,
        Err(error) if error.kind() == ErrorKind::AlreadyExists => (),
        Err(error) => return Err(error),
    }
    if !directory.symlink_metadata()?.is_dir() {
        return Err(io::Error::new(ErrorKind::NotADirectory, "somebody put something else there"));
    }
    let existing = || {
        let flags = access | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        rustix::fs::open(path, flags, Mode::empty()).map(File::from).map_err(io::Error::from)
    };
    match existing() {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            match OpenOptions::new().read(true).write(true).create_new(true).open(path) {
                Ok(file) => {
                    file.set_permissions(Permissions::from_mode(0o644))?;
                    Ok(file)
                }
                Err(error) if error.kind() == ErrorKind::AlreadyExists => existing(),
                Err(error) => Err(error),
            }
        }
        other => other,
    }
}

/// Who holds a lock, as the kernel knows it.
fn holder(file: &File) -> Option<String> {
    let metadata = file.metadata().ok()?;
    let (major, minor) = (rustix::fs::major(metadata.dev()), rustix::fs::minor(metadata.dev()));
    let wanted = format!("{major:02x}:{minor:02x}:{}", metadata.ino());
    let locks = std::fs::read_to_string("/proc/locks").ok()?;
    // `1: FLOCK  ADVISORY  WRITE 1234 00:19:567 0 EOF`; one that waits has `->` in the second place.
    let pid = locks.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        (fields.get(1) == Some(&"FLOCK") && fields.get(5) == Some(&wanted.as_str()))
            .then(|| fields[4].to_owned())
    })?;
    let path = format!("/proc/{pid}");
    let name = std::fs::read_to_string(format!("{path}/comm")).ok();
    let user = std::fs::metadata(&path).ok().map(|it| it.uid());
    let name = name.as_deref().map_or("a process", str::trim);
    Some(match user {
        Some(user) => format!("{name}, process {pid} of user {user}"),
        None => format!("process {pid}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gpus(names: &[&str]) -> Vec<String> {
        names.iter().map(|it| (*it).to_owned()).collect()
    }

    #[test]
    fn all_are_locked_or_none() {
        let home = tempfile::tempdir().expect("a directory");
        let lock = |names: &[&str]| try_lock_in(&home.path().join("llem"), &gpus(names));
        let first = lock(&["GPU-b"]).expect("nobody has it");
        let error = lock(&["GPU-c", "GPU-a", "GPU-b"]).expect_err("one is in use");
        let own = std::process::id();
        assert!(
            matches!(&error, LockError::InUse { gpu, holder: Some(holder) }
            if gpu == "GPU-b" && holder.contains(&format!("process {own} of"))),
            "{error}"
        );
        drop(lock(&["GPU-a", "GPU-c"]).expect("the failed try holds none"));
        drop(first);
        drop(lock(&["GPU-b", "GPU-b"]).expect("it is free again, and named twice it is one"));
    }

    #[test]
    fn a_name_leads_nowhere_else() {
        let home = tempfile::tempdir().expect("a directory");
        let directory = home.path().join("llem");
        drop(try_lock_in(&directory, &gpus(&["../../x"])).expect("it is a name"));
        assert!(directory.join("______x.lock").exists());
        let link = directory.join("GPU-l.lock");
        std::os::unix::fs::symlink("/etc/passwd", link).expect("it is ours");
        assert!(matches!(try_lock_in(&directory, &gpus(&["GPU-l"])), Err(LockError::Io { .. })));
    }
}
