//! The library's state: its configuration, its time, and how often it was asked.
//!
//! One per loaded copy of the library.

use std::{
    collections::BTreeMap,
    env, fs,
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use rustix::time::{ClockId, clock_gettime};

use crate::{Config, GpuConfig, Settings, Time};

/// Where virtual time begins, in nanoseconds.
const VIRTUAL_BEGIN: u64 = 1_000_000_000_000;
/// Wall-clock time when virtual time is zero, in nanoseconds.
const VIRTUAL_WALL: u64 = 1_700_000_000_000_000_000;

static STATE: Mutex<Option<State>> = Mutex::new(None);

/// What the exported functions work on.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) config: Config,
    origin_ns: u64,
    virtual_ns: u64,
    pub(crate) reads: u64,
    file: Option<(PathBuf, Option<SystemTime>)>,
    /// What clients set, where no file keeps it.
    own_settings: BTreeMap<String, Settings>,
}

/// The state, configured by the environment if nobody did so before.
pub(crate) fn with<T>(then: impl FnOnce(&mut State) -> T) -> T {
    let mut guard = lock();
    then(guard.get_or_insert_with(State::from_environment))
}

/// Replaces the configuration.
pub(crate) fn configure(config: Config) {
    *lock() = Some(State::new(config));
}

fn lock() -> MutexGuard<'static, Option<State>> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    fn new(config: Config) -> Self {
        let begin = match config.time {
            Time::Real => monotonic(),
            Time::Virtual => VIRTUAL_BEGIN,
        };
        let origin_ns = config.origin_ns.unwrap_or(begin);
        Self {
            config,
            origin_ns,
            virtual_ns: VIRTUAL_BEGIN,
            reads: 0,
            file: None,
            own_settings: BTreeMap::new(),
        }
    }

    fn from_environment() -> Self {
        let setting = env::var("LLEM_FAKE_NVML").unwrap_or_default();
        if setting.is_empty() {
            return Self::new(Config::default());
        }
        if setting.starts_with('{') {
            return Self::new(parse(&setting).unwrap_or_else(broken));
        }
        let path = PathBuf::from(setting);
        let text = fs::read_to_string(&path).unwrap_or_default();
        let mut state = Self::new(parse(&text).unwrap_or_else(broken));
        state.file = Some((path.clone(), modified(&path)));
        state
    }

    /// Reads the configuration's file again if it has changed; time goes on.
    pub(crate) fn refresh(&mut self) {
        let Some((path, seen)) = &mut self.file else { return };
        let now = modified(path);
        if now == *seen {
            return;
        }
        *seen = now;
        if let Some(config) = fs::read_to_string(path).ok().and_then(|text| parse(&text)) {
            self.config = config;
        }
    }

    pub(crate) fn now_ns(&self) -> u64 {
        match self.config.time {
            Time::Real => monotonic(),
            Time::Virtual => self.virtual_ns,
        }
    }

    pub(crate) const fn origin_ns(&self) -> u64 {
        self.origin_ns
    }

    pub(crate) fn advance_to(&mut self, at_ns: u64) {
        self.virtual_ns = self.virtual_ns.max(at_ns);
    }

    pub(crate) fn wall_ns(&self) -> u64 {
        let wall = match self.config.time {
            Time::Real => {
                let now = clock_gettime(ClockId::Realtime);
                nanoseconds(now.tv_sec, now.tv_nsec)
            }
            Time::Virtual => VIRTUAL_WALL + self.virtual_ns,
        };
        match self.config.wall_step {
            Some((at, by)) if self.seconds(self.now_ns()) >= at => {
                wall + crate::gpu::whole(by * 1e9)
            }
            _ => wall,
        }
    }

    /// A monotonic time in seconds from the origin of the scripts.
    pub(crate) fn seconds(&self, at_ns: u64) -> f64 {
        let distance =
            std::time::Duration::from_nanos(at_ns.abs_diff(self.origin_ns)).as_secs_f64();
        if at_ns < self.origin_ns { -distance } else { distance }
    }

    /// What clients have set on a GPU.
    pub(crate) fn settings(&self, uuid: &str) -> Settings {
        let kept = self.config.settings.as_ref().map(|it| Settings::read(it));
        kept.as_ref().unwrap_or(&self.own_settings).get(uuid).copied().unwrap_or_default()
    }

    /// Sets something on a GPU.
    pub(crate) fn set(&mut self, uuid: &str, change: impl FnOnce(&mut Settings)) {
        match &self.config.settings {
            Some(path) => Settings::change(path, uuid, change),
            None => change(self.own_settings.entry(uuid.to_owned()).or_default()),
        }
    }

    pub(crate) fn gpu(&self, index: usize) -> Option<&GpuConfig> {
        self.config.gpus.get(index)
    }
}

fn parse(text: &str) -> Option<Config> {
    serde_json::from_str(text).ok()
}

/// A library that cannot be initialised: better than one that answers with something else.
fn broken() -> Config {
    Config { init_code: 999, gpus: Vec::new(), ..Config::default() }
}

fn modified(path: &PathBuf) -> Option<SystemTime> {
    fs::metadata(path).and_then(|data| data.modified()).ok()
}

fn monotonic() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    nanoseconds(now.tv_sec, now.tv_nsec)
}

fn nanoseconds(seconds: i64, nanos: i64) -> u64 {
    let part = |value: i64| u64::try_from(value).unwrap_or(0);
    part(seconds) * 1_000_000_000 + part(nanos)
}
