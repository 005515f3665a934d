//! Builders of what a plugin says of itself.

use crate::{Descriptor, EngineRelease, ImageRef, Mode, Permission, Runner, VersionProbe};

impl Descriptor {
    /// A descriptor without modes, runners and permissions.
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
    #[must_use]
    pub fn with_home(mut self, homepage: &str, license: &str) -> Self {
        self.homepage = Some(homepage.to_owned());
        self.license = Some(license.to_owned());
        self
    }

    /// Sets the supported modes.
    #[must_use]
    pub fn with_modes(mut self, modes: &[Mode]) -> Self {
        self.modes = modes.to_vec();
        self
    }

    /// Sets the supported runners.
    #[must_use]
    pub fn with_runners(mut self, runners: &[Runner]) -> Self {
        self.runners = runners.to_vec();
        self
    }

    /// Adds something that plans may contain.
    #[must_use]
    pub fn allowing(mut self, permission: Permission) -> Self {
        self.permissions.push(permission);
        self
    }
}

impl EngineRelease {
    /// A stable release: its exact version and the versions that its schema is right for.
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
    #[must_use]
    pub fn with_image(mut self, image: ImageRef) -> Self {
        self.image = Some(image);
        self
    }

    /// Sets the lowest CUDA compute capability, times ten.
    #[must_use]
    pub fn with_min_compute_capability(mut self, times_ten: u32) -> Self {
        self.min_compute_capability = Some(times_ten);
        self
    }
}

impl ImageRef {
    /// An image by its tag.
    pub fn tagged(repository: &str, tag: &str) -> Self {
        Self { repository: repository.to_owned(), tag: Some(tag.to_owned()), digest: None }
    }
}

impl VersionProbe {
    /// Runs a program as a process and takes the group `version` of the pattern.
    pub fn process(program: &str, args: &[&str], pattern: &str) -> Self {
        Self {
            runner: Runner::Process,
            program: program.to_owned(),
            args: args.iter().map(ToString::to_string).collect(),
            pattern: pattern.to_owned(),
        }
    }
}
