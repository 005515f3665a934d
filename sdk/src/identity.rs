//! Builders of what a plugin says of itself.

use crate::{Descriptor, EngineRelease, ImageRef, Mode, Permission, Runner, VersionProbe};

impl Descriptor {
    /// A descriptor without modes, runners and permissions.
    ///
    /// ```
    /// # use llem_sdk::prelude::*;
    /// let plugin = Descriptor::new("example", "Example", "1.0.0", "Serves models by example.");
    /// assert!(plugin.permissions.is_empty());
    /// ```
    pub fn new(id: &str, title: &str, version: &str, summary: &str) -> Self {
        Self {
            id: id.to_owned(),
            title: title.to_owned(),
            version: version.to_owned(),
            summary: summary.to_owned(),
            homepage: None,
            license: None,
            modes: Vec::new(),
            runners: Vec::new(),
            permissions: Vec::new(),
            extra: Vec::new(),
        }
    }

    /// Sets the engine's web page and licence.
    ///
    /// ```
    /// # use llem_sdk::prelude::*;
    /// let plugin = Descriptor::new("a", "A", "1.0.0", "A.").with_home("https://example.org", "MIT");
    /// assert_eq!(plugin.license.as_deref(), Some("MIT"));
    /// ```
    #[must_use]
    pub fn with_home(mut self, homepage: &str, license: &str) -> Self {
        self.homepage = Some(homepage.to_owned());
        self.license = Some(license.to_owned());
        self
    }

    /// Sets the supported modes.
    ///
    /// ```
    /// # use llem_sdk::prelude::*;
    /// let plugin = Descriptor::new("a", "A", "1.0.0", "A.").with_modes(&[Mode::Server]);
    /// assert_eq!(plugin.modes, [Mode::Server]);
    /// ```
    #[must_use]
    pub fn with_modes(mut self, modes: &[Mode]) -> Self {
        self.modes = modes.to_vec();
        self
    }

    /// Sets the supported runners.
    ///
    /// ```
    /// # use llem_sdk::prelude::*;
    /// let plugin = Descriptor::new("a", "A", "1.0.0", "A.").with_runners(&[Runner::Process]);
    /// assert_eq!(plugin.runners, [Runner::Process]);
    /// ```
    #[must_use]
    pub fn with_runners(mut self, runners: &[Runner]) -> Self {
        self.runners = runners.to_vec();
        self
    }

    /// Adds something that plans may contain.
    ///
    /// ```
    /// # use llem_sdk::prelude::*;
    /// let plugin = Descriptor::new("a", "A", "1.0.0", "A.")
    ///     .allowing(Permission::Program("server".to_owned()))
    ///     .allowing(Permission::EnvSet("SERVER_*".to_owned()));
    /// assert_eq!(plugin.permissions.len(), 2);
    /// ```
    #[must_use]
    pub fn allowing(mut self, permission: Permission) -> Self {
        self.permissions.push(permission);
        self
    }
}

impl EngineRelease {
    /// A stable release: its exact version and the versions that its schema is right for.
    ///
    /// ```
    /// # use llem_sdk::prelude::*;
    /// let release = EngineRelease::stable("1.4.0", ">=1.4.0, <1.5.0", &[Mode::Server]);
    /// assert_eq!(release.status, "stable");
    /// ```
    pub fn stable(id: &str, covers: &str, modes: &[Mode]) -> Self {
        Self {
            id: id.to_owned(),
            covers: covers.to_owned(),
            image: None,
            modes: modes.to_vec(),
            min_compute_capability: None,
            status: "stable".to_owned(),
            extra: Vec::new(),
        }
    }

    /// Sets the default image.
    ///
    /// ```
    /// # use llem_sdk::prelude::*;
    /// let image = ImageRef::tagged("docker.io/example/server", "v1.4.0");
    /// let release = EngineRelease::stable("1.4.0", ">=1.4.0, <1.5.0", &[Mode::Server]).with_image(image);
    /// assert!(release.image.is_some());
    /// ```
    #[must_use]
    pub fn with_image(mut self, image: ImageRef) -> Self {
        self.image = Some(image);
        self
    }

    /// Sets the lowest CUDA compute capability, times ten.
    ///
    /// ```
    /// # use llem_sdk::prelude::*;
    /// let release = EngineRelease::stable("1.4.0", ">=1.4.0, <1.5.0", &[Mode::Server])
    ///     .with_min_compute_capability(75);
    /// assert_eq!(release.min_compute_capability, Some(75));
    /// ```
    #[must_use]
    pub fn with_min_compute_capability(mut self, times_ten: u32) -> Self {
        self.min_compute_capability = Some(times_ten);
        self
    }
}

impl ImageRef {
    /// An image by its tag.
    ///
    /// ```
    /// # use llem_sdk::prelude::*;
    /// assert_eq!(ImageRef::tagged("docker.io/example/server", "v1").tag.as_deref(), Some("v1"));
    /// ```
    pub fn tagged(repository: &str, tag: &str) -> Self {
        Self { repository: repository.to_owned(), tag: Some(tag.to_owned()), digest: None }
    }
}

impl VersionProbe {
    /// Runs a program as a process and takes the group `version` of the pattern.
    ///
    /// ```
    /// # use llem_sdk::prelude::*;
    /// let probe = VersionProbe::process("server", &["--version"], r"server (?<version>\S+)");
    /// assert_eq!(probe.args, ["--version"]);
    /// ```
    pub fn process(program: &str, args: &[&str], pattern: &str) -> Self {
        Self {
            runner: Runner::Process,
            program: program.to_owned(),
            args: args.iter().map(ToString::to_string).collect(),
            pattern: pattern.to_owned(),
        }
    }
}
