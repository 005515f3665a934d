//! The keys of the user's configuration: one table for the file, the environment, `llem config` and the documentation.

/// What a value must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A directory or file; in the file, `~` is the home directory and what is relative lies beside the file.
    Path,
    /// A whole number.
    Whole,
    /// A number above zero.
    Positive,
    /// Yes or no.
    Flag,
    /// Numbers of processor cores.
    Cores,
    /// The address of a socket.
    Socket,
    /// One of these.
    Word(&'static [&'static str]),
}

/// One key.
#[derive(Debug)]
pub(crate) struct Key {
    /// In the file; the part before the dot is its table.
    pub(crate) name: &'static str,
    /// In the environment, where it takes precedence.
    pub(crate) variable: &'static str,
    pub(crate) kind: Kind,
    /// What holds where nobody says otherwise.
    pub(crate) default: &'static str,
    pub(crate) about: &'static str,
}

macro_rules! keys {
    ($($key:ident: $name:literal, $variable:literal, $kind:expr, $default:literal, $about:literal;)*) => {
        $(pub(crate) static $key: Key = Key {
            name: $name,
            variable: $variable,
            kind: $kind,
            default: $default,
            about: $about,
        };)*

        /// All of them.
        pub(crate) static KEYS: &[&Key] = &[$(&$key),*];
    };
}

keys! {
    CACHE_DIRECTORY: "cache.directory", "LLEM_CACHE_DIR", Kind::Path, "~/.cache/llem",
        "compiled plugins, built artefacts, shapes of random models";
    CACHE_LIMIT: "cache.limit_gib", "LLEM_CACHE_LIMIT_GIB", Kind::Whole, "100",
        "what built artefacts may have together, GiB";
    CLIENT_CORES: "client.cores", "LLEM_CLIENT_CORES", Kind::Cores, "any",
        "processor cores for the load generator, such as `0,2`";
    CLIENT_PRIORITY: "client.priority", "LLEM_CLIENT_PRIORITY", Kind::Flag, "0",
        "`1` raises the load generator's priority where the system allows it";
    CONTAINER_ENGINE: "containers.engine", "DOCKER_HOST", Kind::Socket, "that of Docker or Podman",
        "socket of a container engine, such as `unix:///run/podman/podman.sock`";
    CONTAINER_NETWORK: "containers.network", "LLEM_CONTAINER_NETWORK",
        Kind::Word(&["bridge", "host"]), "bridge",
        "`host` starts containers in the network of the machine";
    DATA_DIRECTORY: "data.directory", "LLEM_DATA_DIR", Kind::Path, "~/.local/share/llem",
        "added plugins, and what each may do";
    HOST_CORES: "host.cores", "LLEM_HOST_CORES", Kind::Cores, "any",
        "processor cores that llem keeps for itself, such as `0,1`; engines, in containers too, run on the others";
    NVML_LIBRARY: "instruments.nvml_library", "LLEM_NVML_LIBRARY", Kind::Path, "libnvidia-ml.so.1",
        "NVIDIA's management library, where the loader doesn't find it";
    SYSFS: "instruments.sysfs", "LLEM_SYSFS", Kind::Path, "/sys",
        "the kernel's tree of devices, where a container has that of the machine elsewhere";
    WATTS_PER_THREAD: "instruments.watts_per_thread", "LLEM_WATTS_PER_THREAD", Kind::Positive, "4",
        "power that the estimate without energy counters takes for one busy hardware thread";
    LOCK_DIRECTORY: "locks.directory", "LLEM_LOCK_DIR", Kind::Path, "/run/lock/llem",
        "locks of GPUs, the same for all studies of a machine";
    PLUGIN_PATH: "plugins.path", "LLEM_PLUGIN_PATH", Kind::Path, "none",
        "directory of `.wasm` components that take the place of built-in ones";
    RESULTS: "results.directory", "LLEM_RESULTS", Kind::Path, "results",
        "directory below which results are written";
}

impl Key {
    /// What is wrong with a value, in the words of an error.
    pub(super) fn fault(&self, text: &str) -> Option<String> {
        let wanted = match self.kind {
            Kind::Path => None,
            Kind::Whole => text.parse::<u64>().is_err().then(|| "a whole number".to_owned()),
            Kind::Positive => {
                let is_above = text.parse::<f64>().is_ok_and(|it| it > 0.0 && it.is_finite());
                (!is_above).then(|| "a number above 0".to_owned())
            }
            Kind::Flag => flag(text).is_none().then(|| "`1` or `0`".to_owned()),
            Kind::Cores => {
                cores(text).is_none().then(|| "numbers of cores such as `0,2`".to_owned())
            }
            Kind::Socket => {
                (!text.contains("://")).then(|| "an address such as `unix://PATH`".to_owned())
            }
            Kind::Word(words) => (!words.contains(&text))
                .then(|| words.iter().map(|it| format!("`{it}`")).collect::<Vec<_>>().join(" or ")),
        };
        wanted.map(|it| format!("must be {it}, found `{text}`"))
    }
}

pub(super) fn flag(text: &str) -> Option<bool> {
    match text {
        "1" | "true" => Some(true),
        "0" | "false" => Some(false),
        _ => None,
    }
}

/// Numbers of processors between commas.
pub(crate) fn cores(text: &str) -> Option<Vec<usize>> {
    let numbers = text.split(',').filter(|it| !it.trim().is_empty());
    numbers.map(|it| it.trim().parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_are_numbers_between_commas() {
        assert_eq!(cores("0, 2"), Some(vec![0, 2]));
        assert_eq!(cores(""), Some(vec![]));
        assert_eq!(cores("0-3"), None);
    }

    #[test]
    fn a_value_that_makes_no_sense_is_told_with_what_would() {
        for (key, bad) in [
            (&CACHE_LIMIT, "-1"),
            (&CLIENT_CORES, "0-3"),
            (&CLIENT_PRIORITY, "high"),
            (&CONTAINER_ENGINE, "/run/docker.sock"),
            (&CONTAINER_NETWORK, "none"),
            (&WATTS_PER_THREAD, "0"),
        ] {
            let fault = key.fault(bad).unwrap_or_else(|| panic!("{} takes {bad}", key.name));
            assert!(
                fault.starts_with("must be ") && fault.ends_with(&format!("`{bad}`")),
                "{fault}"
            );
        }
        assert_eq!(CONTAINER_NETWORK.fault("host"), None);
    }
}
