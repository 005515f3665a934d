//! A control group for each engine, where the kernel's second version of them is there and this user may make one.
//!
//! What runs in it ends with one word, whatever it forks meanwhile, and stays named after a supervisor that was killed, so
//! that the next start finds it. Without one, the search through all processes does what it can.

use std::{
    fs::{self, File, OpenOptions},
    io,
    path::{Path, PathBuf},
};

use rustix::process::Pid;

use crate::processes::started;

/// Begin of a group's name; what follows is [`Owner`].
const PREFIX: &str = "llem-";

/// The group of one engine.
#[derive(Debug)]
pub(crate) struct Group(PathBuf);

impl Group {
    /// Makes a group of this process's, below the one that it is in; none where that is not possible.
    pub(crate) fn create() -> Option<Self> {
        let own = own_group()?;
        let path = own.join(format!("{PREFIX}{}", Owner::this()?.name()));
        fs::create_dir(&path).ok()?;
        let group = Self(path);
        if group.0.join("cgroup.kill").exists() {
            return Some(group);
        }
        group.remove();
        None
    }

    /// Bounds it where the kernel lets a group of this place be bounded.
    pub(crate) fn limit(&self, processes: u64, memory_bytes: Option<u64>) {
        drop(fs::write(self.0.join("pids.max"), processes.to_string()));
        if let Some(bytes) = memory_bytes {
            drop(fs::write(self.0.join("memory.max"), bytes.to_string()));
        }
    }

    /// Where a process writes `0` to enter.
    pub(crate) fn door(&self) -> io::Result<File> {
        OpenOptions::new().write(true).open(self.0.join("cgroup.procs"))
    }

    /// Kills all that is in it, forks under way included.
    pub(crate) fn kill(&self) {
        drop(fs::write(self.0.join("cgroup.kill"), "1"));
    }

    /// What lives in it.
    pub(crate) fn processes(&self) -> Vec<Pid> {
        let text = fs::read_to_string(self.0.join("cgroup.procs")).unwrap_or_default();
        text.lines().filter_map(|it| Pid::from_raw(it.parse().ok()?)).collect()
    }

    /// Removes it, once nothing is in it.
    pub(crate) fn remove(&self) {
        drop(fs::remove_dir(&self.0));
    }
}

/// Ends what supervisors that were killed left behind, and removes their groups.
pub fn end_orphans() {
    if let Some(root) = root() {
        end_orphans_below(&root);
    }
}

fn end_orphans_below(directory: &Path) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if !entry.file_type().is_ok_and(|it| it.is_dir()) {
            continue;
        }
        let name = entry.file_name();
        let owner = name.to_str().and_then(|it| Owner::read(it.strip_prefix(PREFIX)?));
        match owner {
            Some(owner) if owner.is_dead() => {
                let group = Group(entry.path());
                group.kill();
                // The kernel takes a moment to be done with what it kills; a group that is left is harmless.
                for _ in 0..50 {
                    if group.processes().is_empty() {
                        break;
                    }
                    std::thread::sleep(std::time::Duration::from_millis(20));
                }
                group.remove();
            }
            Some(_) => (),
            None => end_orphans_below(&entry.path()),
        }
    }
}

/// Whose a group is: a process is known by its number, when it started, and where that number counts.
#[derive(Debug, PartialEq, Eq)]
struct Owner {
    namespace: String,
    pid: u32,
    started: u64,
}

impl Owner {
    fn this() -> Option<Self> {
        let pid = std::process::id();
        Some(Self { namespace: namespace()?, pid, started: started(pid)? })
    }

    fn name(&self) -> String {
        format!("{}-{}-{}", self.namespace, self.pid, self.started)
    }

    fn read(name: &str) -> Option<Self> {
        let mut parts = name.split('-');
        let (namespace, pid, started) = (parts.next()?, parts.next()?, parts.next()?);
        let owner = Self {
            namespace: namespace.to_owned(),
            pid: pid.parse().ok()?,
            started: started.parse().ok()?,
        };
        parts.next().is_none().then_some(owner)
    }

    /// Whether it is gone for sure: nothing is known of numbers in another namespace.
    fn is_dead(&self) -> bool {
        namespace().is_some_and(|it| it == self.namespace)
            && started(self.pid) != Some(self.started)
    }
}

/// The number of the namespace that process numbers count in.
fn namespace() -> Option<String> {
    let link = fs::read_link("/proc/self/ns/pid").ok()?;
    let text = link.to_str()?.strip_prefix("pid:[")?.strip_suffix(']')?.to_owned();
    text.bytes().all(|it| it.is_ascii_digit()).then_some(text)
}

/// Where the groups of the second version are mounted.
fn root() -> Option<PathBuf> {
    let mounts = procfs::process::Process::myself().ok()?.mountinfo().ok()?;
    mounts.into_iter().find(|it| it.fs_type == "cgroup2").map(|it| it.mount_point)
}

/// The group that this process is in.
fn own_group() -> Option<PathBuf> {
    let text = fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = text.lines().find_map(|it| it.strip_prefix("0::/"))?;
    // A group outside of what is mounted here is shown with `..`, and is not to be reached.
    (!path.split('/').any(|it| it == "..")).then(|| root().map(|it| it.join(path)))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_is_read_from_its_own_name_and_lives() {
        let own = Owner::this().expect("Linux has /proc");
        assert_eq!(Owner::read(&own.name()).as_ref(), Some(&own));
        assert!(!own.is_dead());
        let earlier = Owner { started: own.started.wrapping_sub(1), ..own };
        assert!(earlier.is_dead(), "its number is used again");
        let elsewhere = Owner { namespace: "1".into(), ..earlier };
        assert!(!elsewhere.is_dead(), "another namespace's numbers say nothing here");
        for name in ["", "1-2", "1-2-3-4", "a-b-c"] {
            assert!(Owner::read(name).is_none_or(|it| it.namespace == "a"), "{name}");
        }
    }
}
