//! Compiled code on disk, so that a plugin is compiled once and not once a start.
//!
//! A compiled file is native code: it is loaded only from a folder and a file that belong to this
//! user and that nobody else can write, and only if its checksum, which stands before it, is right.
//! Anything else is compiled anew. No compiled code from anywhere else is ever accepted.

use std::{
    env, fs,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use rustix::fs::OFlags;
use sha2::{Digest as _, Sha256};
use wasmtime::{Engine, component::Component};

/// Bytes of the checksum before the code.
const CHECKSUM_BYTES: usize = 32;

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
    /// The user's cache: below `LLEM_CACHE_DIR`, `XDG_CACHE_HOME/llem` or `~/.cache/llem`.
    pub fn from_env() -> Self {
        let named = |name| env::var_os(name).filter(|it| !it.is_empty()).map(PathBuf::from);
        let folder = named("LLEM_CACHE_DIR")
            .or_else(|| named("XDG_CACHE_HOME").map(|it| it.join("llem")))
            .or_else(|| env::home_dir().map(|it| it.join(".cache/llem")));
        Self { folder: folder.map(|it| it.join("cwasm")) }
    }

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
        let file = folder.join(format!("{sha256}-{:016x}.cwasm", engine_hash(engine)));
        if let Some(component) = load(engine, folder, &file) {
            return Ok(Compiled { component, not_kept: None });
        }
        let component = Component::from_binary(engine, bytes)?;
        let not_kept = keep(folder, &file, &component.serialize()?).err();
        Ok(Compiled {
            component,
            not_kept: not_kept.map(|error| format!("{}: {error}", folder.display())),
        })
    }
}

fn engine_hash(engine: &Engine) -> u64 {
    let mut hasher = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    hasher.finish()
}

/// The component in a file; none unless everything about the file is right.
fn load(engine: &Engine, folder: &Path, file: &Path) -> Option<Component> {
    check_folder(folder).ok()?;
    let code = read_own(file).ok()?;
    let (checksum, code) = code.split_at_checked(CHECKSUM_BYTES)?;
    if Sha256::digest(code)[..] != *checksum {
        return None;
    }
    // SAFETY: the code was written by `keep` with this checksum, into a folder and a file that
    // belong to this user and that only this user can write, and wasmtime refuses the code of
    // another engine. It was read once: what was checked is what is loaded.
    #[expect(unsafe_code, reason = "compiled code can't be loaded otherwise")]
    let component = unsafe { Component::deserialize(engine, code) };
    component.ok()
}

fn read_own(file: &Path) -> io::Result<Vec<u8>> {
    let no_follow = i32::try_from(OFlags::NOFOLLOW.bits()).expect("a small flag");
    let mut file = fs::OpenOptions::new().read(true).custom_flags(no_follow).open(file)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() || !is_own(&metadata) {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "not this user's alone"));
    }
    let mut code = Vec::new();
    file.read_to_end(&mut code)?;
    Ok(code)
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

/// Writes code and its checksum to a temporary file and renames it.
fn keep(folder: &Path, file: &Path, code: &[u8]) -> io::Result<()> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    check_folder(folder)?;
    let unique = format!(".{}-{}.part", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    let temporary = folder.join(unique);
    let write = || {
        let mut out =
            fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        out.write_all(&Sha256::digest(code))?;
        out.write_all(code)?;
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
            let files: Vec<_> =
                fs::read_dir(self.folder()).unwrap().map(|it| it.unwrap().path()).collect();
            assert_eq!(files.len(), 1, "{files:?}");
            files[0].clone()
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
        for at in [0, CHECKSUM_BYTES, good.len() / 2, good.len() - 1] {
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
        let mut forged = Sha256::digest(b"rubbish").to_vec();
        forged.extend(b"rubbish");
        fs::write(scene.file(), forged).unwrap();
        assert!(!scene.loads());
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
