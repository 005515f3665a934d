//! Directories that prepare steps build once and later runs reuse: one a content key, locked across processes,
//! complete or not there, and together no larger than a limit.
//!
//! It knows nothing of plans: what goes into a key and what makes an artefact complete is its caller's.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use rustix::fs::{FlockOperation, flock};

/// Where artefacts are.
#[derive(Clone, Debug)]
pub(crate) struct Artefacts {
    directory: PathBuf,
}

/// An artefact that this process may use, and nobody may remove, as long as this lives.
#[derive(Debug)]
pub(crate) struct Held {
    path: PathBuf,
    partial: PathBuf,
    lock: File,
}

/// One artefact, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) name: String,
    pub(crate) bytes: u64,
    pub(crate) used: SystemTime,
}

impl Artefacts {
    /// Those below llem's cache directory.
    pub(crate) fn below(cache: &Path) -> Self {
        Self { directory: cache.join("artefacts") }
    }

    /// Takes an artefact for this process alone; waits while another builds it, until `cancelled`.
    pub(crate) fn hold(&self, key: &str, cancelled: &dyn Fn() -> bool) -> io::Result<Option<Held>> {
        fs::create_dir_all(&self.directory)?;
        loop {
            let name = self.directory.join(format!("{key}.lock"));
            let lock = File::create(&name)?;
            while flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
                if cancelled() {
                    return Ok(None);
                }
                std::thread::sleep(Duration::from_millis(50));
            }
            // Who removes an artefact removes its lock as well; a lock without a name locks nobody out.
            if is_same(&lock, &name) {
                let path = self.directory.join(key);
                let partial = self.directory.join(format!("{key}.partial"));
                return Ok(Some(Held { path, partial, lock }));
            }
        }
    }

    /// All of them, those used last at the end.
    pub(crate) fn list(&self) -> Vec<Kept> {
        let entries = fs::read_dir(&self.directory).into_iter().flatten().flatten();
        let kept = |entry: fs::DirEntry| {
            let path = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            let lock = self.directory.join(format!("{}.lock", name.trim_end_matches(".partial")));
            path.is_dir().then(|| Kept {
                bytes: size(&path),
                used: lock
                    .metadata()
                    .and_then(|it| it.modified())
                    .unwrap_or(SystemTime::UNIX_EPOCH),
                name,
            })
        };
        let mut all: Vec<Kept> = entries.filter_map(kept).collect();
        all.sort_by(|left, right| (left.used, &left.name).cmp(&(right.used, &right.name)));
        all
    }

    /// Removes those used longest ago until all together have at most `limit` bytes; none that is in use. Gives what
    /// was removed.
    pub(crate) fn trim(&self, limit: u64) -> io::Result<Vec<Kept>> {
        let all = self.list();
        let mut total: u64 = all.iter().map(|it| it.bytes).sum();
        let mut removed = Vec::new();
        for kept in all {
            if total <= limit {
                break;
            }
            let key = kept.name.trim_end_matches(".partial");
            let name = self.directory.join(format!("{key}.lock"));
            let lock = File::create(&name)?;
            if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok() {
                fs::remove_dir_all(self.directory.join(&kept.name))?;
                fs::remove_file(&name)?;
                total -= kept.bytes;
                removed.push(kept);
            }
        }
        Ok(removed)
    }
}

impl Held {
    /// Where it is when it is complete.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it is there with these files, each of them below it. A link that leads out makes it incomplete.
    pub(crate) fn is_complete(&self, files: &[String]) -> bool {
        is_complete(&self.path, files)
    }

    /// An empty directory to build it in.
    pub(crate) fn begin(&self) -> io::Result<&Path> {
        for path in [&self.partial, &self.path] {
            match fs::remove_dir_all(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => (),
            }
        }
        fs::create_dir(&self.partial)?;
        Ok(&self.partial)
    }

    /// Takes what was built, if it has these files; false: it is not complete, and gone.
    pub(crate) fn finish(&self, files: &[String]) -> io::Result<bool> {
        if !is_complete(&self.partial, files) {
            fs::remove_dir_all(&self.partial)?;
            return Ok(false);
        }
        fs::rename(&self.partial, &self.path)?;
        Ok(true)
    }

    /// Lets other processes use it, too; still nobody removes it.
    pub(crate) fn share(&self) -> io::Result<()> {
        self.lock.set_modified(SystemTime::now())?;
        Ok(flock(&self.lock, FlockOperation::LockShared)?)
    }
}

fn is_same(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    match (file.metadata(), path.metadata()) {
        (Ok(open), Ok(named)) => (open.dev(), open.ino()) == (named.dev(), named.ino()),
        _ => false,
    }
}

fn is_complete(directory: &Path, files: &[String]) -> bool {
    let Ok(root) = directory.canonicalize() else { return false };
    // The directory itself must not be a link either.
    let is_real = directory.symlink_metadata().is_ok_and(|it| it.is_dir());
    is_real
        && files
            .iter()
            .all(|it| root.join(it).canonicalize().is_ok_and(|found| found.starts_with(&root)))
}

/// Bytes of a directory; links are not followed.
pub(crate) fn size(path: &Path) -> u64 {
    let Ok(metadata) = path.symlink_metadata() else { return 0 };
    if !metadata.is_dir() {
        return metadata.len();
    }
    fs::read_dir(path).into_iter().flatten().flatten().map(|it| size(&it.path())).sum()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn never() -> bool {
        false
    }

    fn build(artefacts: &Artefacts, key: &str, bytes: usize) -> Held {
        let held = artefacts.hold(key, &never).expect("writable").expect("nobody cancels");
        let place = held.begin().expect("writable");
        fs::write(place.join("engine"), vec![0; bytes]).expect("writable");
        assert!(held.finish(&["engine".into()]).expect("writable"));
        held
    }

    #[test]
    fn what_was_built_is_there_the_next_time_and_what_was_not_finished_is_not() {
        let home = tempfile::tempdir().expect("a directory");
        let artefacts = Artefacts::below(home.path());
        let files = ["engine".to_owned()];
        let held = artefacts.hold("a", &never).expect("writable").expect("nobody cancels");
        assert!(!held.is_complete(&files));
        fs::write(held.begin().expect("writable").join("half"), "x").expect("writable");
        assert!(!held.finish(&files).expect("writable"));
        drop(held);
        drop(build(&artefacts, "a", 10));
        let held = artefacts.hold("a", &never).expect("writable").expect("nobody cancels");
        assert!(held.is_complete(&files));
    }

    #[test]
    fn a_link_that_leads_out_makes_it_incomplete() {
        let home = tempfile::tempdir().expect("a directory");
        let held =
            Artefacts::below(home.path()).hold("a", &never).expect("writable").expect("free");
        symlink("/etc/passwd", held.begin().expect("writable").join("engine")).expect("writable");
        assert!(!held.finish(&["engine".into()]).expect("writable"));
    }

    #[test]
    fn one_builds_while_others_wait_or_give_up() {
        let home = tempfile::tempdir().expect("a directory");
        let artefacts = Artefacts::below(home.path());
        let first = artefacts.hold("a", &never).expect("writable").expect("free");
        assert!(artefacts.hold("a", &|| true).expect("writable").is_none());
        std::thread::scope(|scope| {
            let second = scope.spawn(|| artefacts.hold("a", &never).expect("writable").is_some());
            drop(first);
            assert!(second.join().expect("no panic"));
        });
    }

    #[test]
    fn the_oldest_goes_first_and_what_is_in_use_stays() {
        let home = tempfile::tempdir().expect("a directory");
        let artefacts = Artefacts::below(home.path());
        for (age, key) in [(30, "old"), (20, "used"), (10, "new")] {
            let held = build(&artefacts, key, 1_000);
            let time = SystemTime::now() - Duration::from_secs(age);
            held.lock.set_modified(time).expect("it is ours");
        }
        let used = artefacts.hold("used", &never).expect("writable").expect("free");
        let names = |all: Vec<Kept>| all.into_iter().map(|it| it.name).collect::<Vec<_>>();
        assert_eq!(names(artefacts.trim(3_000).expect("writable")), Vec::<String>::new());
        assert_eq!(names(artefacts.trim(2_000).expect("writable")), ["old"]);
        assert_eq!(names(artefacts.trim(0).expect("writable")), ["new"]);
        assert!(used.is_complete(&["engine".into()]));
    }
}
