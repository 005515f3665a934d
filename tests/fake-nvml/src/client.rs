//! A loaded copy of the library, controlled from a test.
//!
//! Every [`Fake`] is a copy of its own, so tests of one process do not disturb each other.

#![expect(unsafe_code, reason = "the copy is loaded and called like any C library")]

use std::{
    ffi::{CString, c_char},
    fs, io,
    path::{Path, PathBuf},
};

use libloading::Library;
use tempfile::TempDir;

use crate::Config;

/// Where cargo puts the C library beside the running test, benchmark or example.
///
/// # Panics
///
/// If it is not there, which means that the running program does not depend on this package.
pub fn library_path() -> PathBuf {
    let own = std::env::current_exe().expect("a running program has a path");
    let folders = own.ancestors().skip(1).take(2);
    let candidates = folders.flat_map(|folder| {
        [folder.join("deps/libllem_fake_nvml.so"), folder.join("libllem_fake_nvml.so")]
    });
    candidates
        .into_iter()
        .find(|path| path.exists())
        .expect("the fake library was built with this program")
}

/// A copy of the library under its own path.
#[derive(Debug)]
pub struct Fake {
    library: Library,
    path: PathBuf,
    // Removed last, when the library is closed.
    _folder: TempDir,
}

impl Fake {
    /// Loads a copy and configures it.
    ///
    /// # Panics
    ///
    /// If the copy cannot be made or loaded: a test cannot go on without it.
    pub fn new(config: &Config) -> Self {
        Self::lacking(config, &[])
    }

    /// The same without some of its symbols, as older drivers lack them.
    ///
    /// # Panics
    ///
    /// As [`Fake::new`].
    pub fn lacking(config: &Config, symbols: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("libnvidia-ml.so.1");
        copy_without(&library_path(), &path, symbols).expect("a copy of the library");
        // SAFETY: the library has no initialisers that depend on anything.
        let library = unsafe { Library::new(&path) }.expect("a loadable library");
        let fake = Self { library, path, _folder: folder };
        fake.configure(config);
        fake
    }

    /// Where the copy is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Begins again with another configuration.
    ///
    /// # Panics
    ///
    /// If the library does not understand it.
    pub fn configure(&self, config: &Config) {
        let text = serde_json::to_string(config).expect("a configuration is plain data");
        let text = CString::new(text).expect("JSON has no NUL");
        let code = self.call::<unsafe extern "C" fn(*const c_char) -> u32, u32>(
            b"llem_fake_configure\0",
            // SAFETY: the text lives until the call returns.
            |function| unsafe { function(text.as_ptr()) },
        );
        assert_eq!(code, 0, "the fake library did not take its configuration");
    }

    /// The library's monotonic time.
    pub fn now_ns(&self) -> u64 {
        // SAFETY: no arguments.
        self.call::<unsafe extern "C" fn() -> u64, u64>(b"llem_fake_now\0", |f| unsafe { f() })
    }

    /// The library's wall-clock time.
    pub fn wall_ns(&self) -> u64 {
        // SAFETY: no arguments.
        self.call::<unsafe extern "C" fn() -> u64, u64>(b"llem_fake_wall\0", |f| unsafe { f() })
    }

    /// The origin of the scripts on the library's monotonic time.
    pub fn origin_ns(&self) -> u64 {
        // SAFETY: no arguments.
        self.call::<unsafe extern "C" fn() -> u64, u64>(b"llem_fake_origin\0", |f| unsafe { f() })
    }

    /// How often a counter was read.
    pub fn reads(&self) -> u64 {
        // SAFETY: no arguments.
        self.call::<unsafe extern "C" fn() -> u64, u64>(b"llem_fake_reads\0", |f| unsafe { f() })
    }

    /// Moves virtual time forward.
    pub fn advance_to(&self, at_ns: u64) {
        // SAFETY: a plain number.
        self.call::<unsafe extern "C" fn(u64), ()>(b"llem_fake_advance_to\0", |f| unsafe {
            f(at_ns);
        });
    }

    /// The energy in joules that a GPU really took between two times.
    pub fn true_energy(&self, gpu: u32, from_ns: u64, to_ns: u64) -> f64 {
        self.call::<unsafe extern "C" fn(u32, u64, u64) -> f64, f64>(
            b"llem_fake_energy\0",
            // SAFETY: plain numbers.
            |f| unsafe { f(gpu, from_ns, to_ns) },
        )
    }

    fn call<F: Copy, T>(&self, name: &[u8], call: impl FnOnce(F) -> T) -> T {
        // SAFETY: the type is that of the function exported under this name.
        let function = unsafe { self.library.get::<F>(name) };
        call(*function.expect("the fake library exports its controls"))
    }
}

/// Copies the file and renames symbols in it, so that a lookup by their name fails.
fn copy_without(from: &Path, to: &Path, symbols: &[&str]) -> io::Result<()> {
    let mut bytes = fs::read(from)?;
    for symbol in symbols {
        let needle: Vec<u8> = [b"\0", symbol.as_bytes(), b"\0"].concat();
        let places: Vec<usize> = bytes
            .windows(needle.len())
            .enumerate()
            .filter_map(|(place, window)| (window == needle).then_some(place))
            .collect();
        for place in places {
            bytes[place + 1] = b'_';
        }
    }
    fs::write(to, bytes)
}
