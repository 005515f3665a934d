//! Compiled code on disk, so that a plugin is compiled once and not once a start.
//!
//! A compiled file is native code: it is loaded only from a folder and a file that belong to this
//! user and that nobody else can write, and only if its checksum, which stands beside it, is right.
//! Anything else is compiled anew. No compiled code from anywhere else is ever accepted.
//!
//! Code is mapped, not copied, and a checksum is computed again only where the file may have changed
//! since ([`mark`](crate::mark)): tens of megabytes of a Python plugin cost more to hash than to run.

use std::{
    fs,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    io::{self, Read as _, Write as _},
    os::{
        fd::AsRawFd as _,
        unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    },
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use rustix::fs::OFlags;
use sha2::{Digest as _, Sha256};
use wasmtime::{Engine, component::Component};

use crate::mark::{Mark, hex};

/// Greatest size of a checksum file.
const MAX_NOTE_BYTES: u64 = 1024;

/// A folder of compiled code.
#[derive(Clone, Debug)]
pub struct Cache {
    folder: Option<PathBuf>,
}

/// A component and why its code could not be kept, if it could not.
pub(crate) struct Compiled {
    pub(crate) component: Component,
    pub(crate) not_kept: Option<String>,
}

impl Cache {
    /// A cache in a folder of its own.
    pub fn in_folder(folder: impl Into<PathBuf>) -> Self {
        Self { folder: Some(folder.into()) }
    }

    /// No cache: every start compiles.
    pub fn none() -> Self {
        Self { folder: None }
    }

    /// Loads a component's code, or compiles it and keeps the code.
    pub(crate) fn component(
        &self,
        engine: &Engine,
        sha256: &str,
        bytes: &[u8],
    ) -> wasmtime::Result<Compiled> {
        let Some(folder) = &self.folder else {
            return Ok(Compiled {
                component: Component::from_binary(engine, bytes)?,
                not_kept: None,
            });
        };
        if let Some(component) = self.kept(engine, sha256) {
            return Ok(Compiled { component, not_kept: None });
        }
        let component = Component::from_binary(engine, bytes)?;
        let not_kept = keep(folder, &file(folder, engine, sha256), &component.serialize()?).err();
        Ok(Compiled {
            component,
            not_kept: not_kept.map(|error| format!("{}: {error}", folder.display())),
        })
    }

    /// The code of the component with this hash, if it is kept.
    pub(crate) fn kept(&self, engine: &Engine, sha256: &str) -> Option<Component> {
        let folder = self.folder.as_ref()?;
        load(engine, folder, &file(folder, engine, sha256))
    }

    /// The hash of a component's file, if it was hashed before and has not changed since.
    pub(crate) fn known_hash(&self, mark: &Mark) -> Option<String> {
        let folder = self.folder.as_ref()?;
        check_folder(folder).ok()?;
        let note = read_note(&folder.join(mark.name()))?;
        note.strip_prefix(&mark.text()).map(str::to_owned)
    }

    /// Remembers the hash of a component's file; what can't be kept is hashed again next time.
    pub(crate) fn remember_hash(&self, mark: &Mark, sha256: &str) {
        if let Some(folder) = &self.folder
            && mark.is_settled()
            && prepare(folder).is_ok()
        {
            let note = format!("{}{sha256}", mark.text());
            drop(write(folder, &folder.join(mark.name()), note.as_bytes()));
        }
    }
}

fn file(folder: &Path, engine: &Engine, sha256: &str) -> PathBuf {
    folder.join(format!("{sha256}-{:016x}.cwasm", engine_hash(engine)))
}

fn engine_hash(engine: &Engine) -> u64 {
    let mut hasher = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    hasher.finish()
}

/// Beside the code: its checksum, and what the file was like when that was last computed.
fn note_of(file: &Path) -> PathBuf {
    file.with_extension("sha256")
}

/// The component in a file; none unless everything about the file is right.
fn load(engine: &Engine, folder: &Path, file: &Path) -> Option<Component> {
    check_folder(folder).ok()?;
    let mut code = open_own(file).ok()?;
    let mark = Mark::of(&code.metadata().ok()?);
    let note = read_note(&note_of(file))?;
    let (checksum, seen) = note.split_once(' ')?;
    if seen != mark.text() {
        let mut bytes = Vec::new();
        code.read_to_end(&mut bytes).ok()?;
        if hex(&Sha256::digest(&bytes)) != checksum {
            return None;
        }
        if mark.is_settled() {
            drop(write(folder, &note_of(file), format!("{checksum} {}", mark.text()).as_bytes()));
        }
    }
    // The open file and not its name, so that what was checked is what is loaded.
    let opened = format!("/proc/self/fd/{}", code.as_raw_fd());
    // SAFETY: the code was written by `keep` with this checksum, into a folder and a file that
    // belong to this user and that only this user can write, and wasmtime refuses the code of
    // another engine. `keep` puts a new file in place of an old one and never changes one that
    // may be mapped.
    #[expect(unsafe_code, reason = "compiled code can't be loaded otherwise")]
    let component = unsafe { Component::deserialize_file(engine, opened) };
    component.ok()
}

/// Opens a file of this user's alone.
fn open_own(file: &Path) -> io::Result<fs::File> {
    let no_follow = i32::try_from(OFlags::NOFOLLOW.bits()).expect("a small flag");
    let file = fs::OpenOptions::new().read(true).custom_flags(no_follow).open(file)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() || !is_own(&metadata) {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "not this user's alone"));
    }
    Ok(file)
}

fn read_note(file: &Path) -> Option<String> {
    let mut text = String::new();
    open_own(file).ok()?.take(MAX_NOTE_BYTES).read_to_string(&mut text).ok()?;
    Some(text)
}

fn check_folder(folder: &Path) -> io::Result<()> {
    if is_own(&fs::metadata(folder)?) {
        Ok(())
    } else {
        Err(io::Error::new(io::ErrorKind::PermissionDenied, "the folder is not this user's alone"))
    }
}

fn is_own(metadata: &fs::Metadata) -> bool {
    metadata.uid() == rustix::process::geteuid().as_raw() && metadata.mode() & 0o022 == 0
}

/// Keeps code, and beside it its checksum.
fn keep(folder: &Path, file: &Path, code: &[u8]) -> io::Result<()> {
    prepare(folder)?;
    write(folder, file, code)?;
    // Not yet a mark: only code that was read back has been seen to be right.
    write(folder, &note_of(file), format!("{} ", hex(&Sha256::digest(code))).as_bytes())
}

fn prepare(folder: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    check_folder(folder)
}

/// Writes a temporary file and renames it.
fn write(folder: &Path, file: &Path, contents: &[u8]) -> io::Result<()> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let unique = format!(".{}-{}.part", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    let temporary = folder.join(unique);
    let write = || {
        let mut out =
            fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        out.write_all(contents)?;
        out.sync_all()?;
        fs::rename(&temporary, file)
    };
    write().inspect_err(|_| drop(fs::remove_file(&temporary)))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    /// The empty component: nothing compiles faster.
    const EMPTY: &[u8] = b"\0asm\x0d\0\x01\0";

    struct Scene {
        engine: Engine,
        home: tempfile::TempDir,
        cache: Cache,
    }

    fn scene() -> Scene {
        let home = tempfile::tempdir().unwrap();
        let cache = Cache::in_folder(home.path().join("cwasm"));
        Scene { engine: Engine::default(), home, cache }
    }

    impl Scene {
        fn folder(&self) -> PathBuf {
            self.home.path().join("cwasm")
        }

        fn compile(&self) -> Compiled {
            self.cache.component(&self.engine, "abc", EMPTY).unwrap()
        }

        fn file(&self) -> PathBuf {
            let files = fs::read_dir(self.folder()).unwrap().map(|it| it.unwrap().path());
            let (code, rest): (Vec<_>, Vec<_>) =
                files.partition(|it| it.extension().is_some_and(|it| it == "cwasm"));
            assert_eq!((code.len(), rest), (1, vec![note_of(&code[0])]));
            code[0].clone()
        }

        fn loads(&self) -> bool {
            load(&self.engine, &self.folder(), &self.file()).is_some()
        }
    }

    fn chmod(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn code_is_kept_for_its_user_alone_and_loaded_the_next_time() {
        let scene = scene();
        assert_eq!(scene.compile().not_kept, None);
        assert!(scene.loads());
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
        assert_eq!((mode(&scene.folder()), mode(&scene.file())), (0o700, 0o600));
        let before = fs::metadata(scene.file()).unwrap().ino();
        scene.compile();
        assert_eq!(fs::metadata(scene.file()).unwrap().ino(), before);
    }

    #[test]
    fn any_changed_byte_means_compiling_anew() {
        let scene = scene();
        scene.compile();
        let good = fs::read(scene.file()).unwrap();
        for at in [0, good.len() / 2, good.len() - 1] {
            let mut bad = good.clone();
            bad[at] ^= 1;
            fs::write(scene.file(), bad).unwrap();
            assert!(!scene.loads(), "byte {at}");
            scene.compile();
            assert!(scene.loads(), "byte {at}");
        }
        fs::write(scene.file(), &good[..10]).unwrap();
        assert!(!scene.loads());
    }

    #[test]
    fn a_right_checksum_does_not_make_code_of_rubbish() {
        let scene = scene();
        scene.compile();
        fs::write(scene.file(), b"rubbish").unwrap();
        let checksum = hex(&Sha256::digest(b"rubbish"));
        fs::write(note_of(&scene.file()), format!("{checksum} ")).unwrap();
        assert!(!scene.loads());
    }

    #[test]
    fn code_that_has_not_changed_since_is_not_hashed_again() {
        let scene = scene();
        scene.compile();
        let mark = Mark::of(&fs::metadata(scene.file()).unwrap());
        // With a checksum that nothing has, only the mark can make it load.
        let note = |text: &str| fs::write(note_of(&scene.file()), text).unwrap();
        note(&format!("0000 {}", mark.text()));
        assert!(scene.loads());
        note("0000 ");
        assert!(!scene.loads());
        note(&format!("0000 {}", mark.settled().text()));
        assert!(!scene.loads());
    }

    #[test]
    fn a_hash_is_remembered_until_its_file_changes() {
        let scene = scene();
        let component = scene.home.path().join("x.wasm");
        fs::write(&component, EMPTY).unwrap();
        let fresh = Mark::of(&fs::metadata(&component).unwrap());
        scene.cache.remember_hash(&fresh, "abc");
        assert_eq!(scene.cache.known_hash(&fresh), None, "it may change in the same tick");
        let old = fresh.clone().settled();
        scene.cache.remember_hash(&old, "abc");
        assert_eq!(scene.cache.known_hash(&old), Some("abc".to_owned()));
        assert_eq!(scene.cache.known_hash(&fresh), None);
    }

    #[test]
    fn what_others_can_write_is_not_loaded() {
        let scene = scene();
        scene.compile();
        chmod(&scene.file(), 0o666);
        assert!(!scene.loads());
        chmod(&scene.file(), 0o600);
        chmod(&scene.folder(), 0o777);
        assert!(!scene.loads());
        assert!(scene.compile().not_kept.unwrap().contains("not this user's alone"));
        chmod(&scene.folder(), 0o700);
        assert!(scene.loads());
    }

    #[test]
    fn a_link_is_not_followed() {
        let scene = scene();
        scene.compile();
        let (file, real) = (scene.file(), scene.home.path().join("real"));
        fs::rename(&file, &real).unwrap();
        symlink(&real, &file).unwrap();
        assert!(!scene.loads());
    }

    #[test]
    fn a_folder_that_can_t_be_made_costs_the_cache_only() {
        let engine = Engine::default();
        let compiled =
            Cache::in_folder("/dev/null/cwasm").component(&engine, "abc", EMPTY).unwrap();
        assert!(compiled.not_kept.unwrap().starts_with("/dev/null/cwasm: "));
    }

    #[test]
    fn processes_that_compile_at_once_leave_one_good_file() {
        let scene = scene();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| scene.compile());
            }
        });
        assert!(scene.loads());
    }
}
