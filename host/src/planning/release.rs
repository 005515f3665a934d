//! Which engine release a schema is wanted of: the pinned one, the installed one, or the newest.

use std::time::Duration;

use llem_core::backend::{EngineRelease, ImageRef, Runner, VersionProbe, covers, version_number};
use llem_launch::{find_image, output_of};
use regex::RegexBuilder;

use crate::{diagnostics::Failure, exit::ExitStatus, runner::Environment};

/// A release and how it was chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Chosen {
    /// Id of the release.
    pub(crate) id: String,
    /// The engine version that is installed, if it was found.
    pub(crate) installed: Option<String>,
    /// Why it may not fit.
    pub(crate) note: Option<String>,
}

/// Longest time that a version probe may take.
const PROBE_LIMIT: Duration = Duration::from_secs(30);
/// Probes of a plugin that are tried.
const MOST_PROBES: usize = 8;

/// Chooses a release: `wanted` by its id, else by the installed version, else the newest stable one.
pub(crate) fn choose(
    releases: &[EngineRelease],
    wanted: Option<&str>,
    installed: Option<String>,
) -> Result<Chosen, String> {
    let known = || releases.iter().map(|it| it.id.as_str()).collect::<Vec<_>>().join(", ");
    if let Some(wanted) = wanted {
        let found = releases.iter().find(|it| it.id == wanted);
        let found = found.ok_or_else(|| {
            format!("no schema for the engine release `{wanted}`; there are {}", known())
        })?;
        return Ok(Chosen { id: found.id.clone(), installed, note: None });
    }
    if let Some(version) = &installed {
        if let Some(fits) = releases.iter().find(|it| covers(&it.covers, version)) {
            return Ok(Chosen { id: fits.id.clone(), installed, note: None });
        }
        let older = releases.iter().find(|it| version_number(&it.id) <= version_number(version));
        if let Some(nearest) = older.or(releases.last()) {
            let note = format!(
                "no schema for the installed version {version}; that of {} is used",
                nearest.id
            );
            return Ok(Chosen { id: nearest.id.clone(), installed, note: Some(note) });
        }
    }
    let newest = releases.iter().find(|it| it.status == "stable").or(releases.first());
    newest
        .map(|it| Chosen { id: it.id.clone(), installed: None, note: None })
        .ok_or_else(|| "the plugin knows no engine release".to_owned())
}

/// The id of the release that a command line names, or of the newest stable one.
pub(crate) fn choose_named(
    releases: &[EngineRelease],
    wanted: Option<&str>,
) -> Result<String, Failure> {
    let chosen =
        choose(releases, wanted, None).map_err(|it| Failure::message(ExitStatus::Usage, it))?;
    Ok(chosen.id)
}

/// Asks the installed engine for its version, as the plugin's probes say; they run as isolated as engines.
pub(crate) fn installed(probes: &[VersionProbe], environment: &Environment) -> Option<String> {
    let of_process = probes.iter().filter(|it| it.runner == Runner::Process);
    version(of_process, None, environment)
}

/// What a study's image is, and which version of its engine it has: as its label says, else as the plugin's probes find in
/// it. Programs of an image are its own, so those that are meant for the host serve where the plugin has no others.
pub(crate) fn in_image(
    probes: &[VersionProbe],
    image: &ImageRef,
    environment: &Environment,
) -> Result<InImage, Failure> {
    let Environment { programs, host, grant } = environment;
    let failed = |it: &dyn std::error::Error| Failure::new(ExitStatus::Environment, it);
    let attendant = programs.bundled("container").map_err(|it| failed(&it))?;
    let found = find_image(attendant, image, grant, host).map_err(|it| failed(&it))?;
    let meant = probes.iter().filter(|it| it.runner == Runner::Container);
    let others = probes.iter().filter(|it| it.runner == Runner::Process);
    let version =
        found.engine_version.or_else(|| version(meant.chain(others), Some(image), environment));
    Ok(InImage { id: found.id, version })
}

/// The content of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InImage {
    /// By which a container engine knows it.
    pub(crate) id: String,
    /// Version of its engine, if it was found.
    pub(crate) version: Option<String>,
}

/// The image that a study runs in: the user's, else that of the release that will be chosen.
pub(crate) fn image_of<'a>(
    releases: &'a [EngineRelease],
    wanted: Option<&str>,
    named: Option<&'a ImageRef>,
) -> Option<&'a ImageRef> {
    let of_release = || {
        let chosen = choose(releases, wanted, None).ok()?;
        releases.iter().find(|it| it.id == chosen.id)?.image.as_ref()
    };
    named.or_else(of_release)
}

/// Refuses a schema that is not right for the engine in an image.
pub(crate) fn fits(
    releases: &[EngineRelease],
    chosen: &Chosen,
    version: &str,
) -> Result<(), String> {
    match releases.iter().find(|it| it.id == chosen.id) {
        Some(release) if !covers(&release.covers, version) => Err(format!(
            "the image has version {version} of the engine, and the schema of release {} is right for {}",
            release.id, release.covers
        )),
        Some(_) | None => Ok(()),
    }
}

fn version<'p>(
    probes: impl Iterator<Item = &'p VersionProbe>,
    image: Option<&ImageRef>,
    environment: &Environment,
) -> Option<String> {
    let Environment { programs, host, grant } = environment;
    let granted = probes.filter(|it| grant.program(&it.program));
    granted.take(MOST_PROBES).find_map(|probe| {
        let (program, args) = (&probe.program, &probe.args);
        let output = output_of(program, args, image, grant, programs, host, PROBE_LIMIT).ok()??;
        let pattern = RegexBuilder::new(&probe.pattern).size_limit(1 << 20).build().ok()?;
        let version = pattern.captures(&output)?.name("version")?.as_str();
        (version.len() <= 64).then(|| version.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use llem_core::backend::Mode;

    use super::*;

    fn releases() -> Vec<EngineRelease> {
        let release = |id: &str, covers: &str| EngineRelease {
            id: id.into(),
            covers: covers.into(),
            image: None,
            modes: vec![Mode::Server],
            min_compute_capability: None,
            status: "stable".into(),
            extra: Vec::new(),
        };
        vec![release("0.33.0", ">=0.33.0, <0.34.0"), release("0.24.0", ">=0.24.0, <0.25.0")]
    }

    #[test]
    fn the_installed_version_selects_its_release() {
        let chosen = choose(&releases(), None, Some("0.24.1+cu130".into())).expect("it is covered");
        assert_eq!((chosen.id.as_str(), chosen.note), ("0.24.0", None));
    }

    #[test]
    fn a_version_between_releases_gets_the_older_one_with_a_note() {
        let chosen =
            choose(&releases(), None, Some("0.30.0".into())).expect("there is an older one");
        assert_eq!(chosen.id, "0.24.0");
        assert!(chosen.note.expect("it may not fit").contains("0.30.0"));
    }

    #[test]
    fn without_an_engine_the_newest_stable_release_is_taken() {
        assert_eq!(choose(&releases(), None, None).expect("there is one").id, "0.33.0");
    }

    #[test]
    fn an_image_with_another_engine_is_refused_by_its_version() {
        let chosen = choose(&releases(), Some("0.24.0"), None).expect("there is one");
        assert_eq!(fits(&releases(), &chosen, "0.24.3"), Ok(()));
        let error = fits(&releases(), &chosen, "0.33.1").expect_err("it is newer");
        assert!(error.contains("0.33.1") && error.contains(">=0.24.0, <0.25.0"), "{error}");
    }

    #[test]
    fn the_users_image_goes_before_that_of_the_release() {
        let image =
            |name: &str| ImageRef { repository: name.into(), tag: Some("1".into()), digest: None };
        let mut releases = releases();
        releases[1].image = Some(image("old/engine"));
        let named = image("my/engine");
        assert_eq!(image_of(&releases, Some("0.24.0"), Some(&named)), Some(&named));
        let found = image_of(&releases, Some("0.24.0"), None).expect("the release has one");
        assert_eq!(found.repository, "old/engine");
        assert_eq!(image_of(&releases, None, None), None);
    }

    #[test]
    fn an_unknown_pinned_release_lists_the_known() {
        let error = choose(&releases(), Some("9"), None).expect_err("unknown");
        assert_eq!(error, "no schema for the engine release `9`; there are 0.33.0, 0.24.0");
    }
}
