//! Disk, memory, limits, clocks of the processor, and llem's own files.

use std::{fs, path::Path};

use rustix::process::{Resource, getrlimit};

use super::Line;
use crate::{config, machine};

/// Raw data of a large study.
const LEAST_FREE_GIB: u64 = 1;
/// Streams of a load, each with a socket, beside what else is open.
const FEWEST_FILES: u64 = 4_096;
/// Locked memory that engines ask for with page-locked buffers and with RDMA.
const LEAST_LOCKED_MIB: u64 = 8;

pub(super) fn lines() -> Vec<Line> {
    let mut lines = vec![configuration(), disk(), cache(), files(), locked()];
    lines.extend(governor());
    lines
}

fn configuration() -> Line {
    match config::check() {
        Ok(()) => Line::good("configuration", "it is read without error"),
        Err(failure) => Line::warning("configuration", failure.text())
            .fix("mend the file; docs/configuration.md says what it can hold"),
    }
}

fn disk() -> Line {
    let here = std::path::absolute(".");
    let here = here.map_or_else(|_| ".".to_owned(), |it| it.display().to_string());
    match rustix::fs::statvfs(".") {
        Ok(it) => {
            let free = it.f_bavail.saturating_mul(it.f_frsize) >> 30;
            let message = format!("{free} GiB free in {here}");
            if free < LEAST_FREE_GIB {
                Line::warning("disk", message)
                    .fix("free some space, or name another place with --results")
            } else {
                Line::good("disk", message)
            }
        }
        Err(error) => Line::warning("disk", format!("free space in {here} is unknown: {error}")),
    }
}

fn cache() -> Line {
    let path = machine::cache_directory();
    let shown = path.display();
    match fs::create_dir_all(&path).and_then(|()| tempfile::tempfile_in(&path)) {
        Ok(_) => Line::good("cache", format!("{shown} keeps {} compiled plugins", kept(&path))),
        Err(error) => Line::warning("cache", format!("{shown} is not writable: {error}")).fix(
            "set LLEM_CACHE_DIR to a directory that is; without one, plugins are compiled at every start",
        ),
    }
}

fn kept(cache: &Path) -> usize {
    let entries = fs::read_dir(cache.join("cwasm")).into_iter().flatten().flatten();
    entries.filter(|it| it.path().extension().is_some_and(|it| it == "cwasm")).count()
}

fn files() -> Line {
    match getrlimit(Resource::Nofile).maximum {
        Some(most) if most < FEWEST_FILES => {
            Line::warning("open files", format!("at most {most}, which caps the streams of a load"))
                .fix("ulimit -Hn 65536   # as root, or in /etc/security/limits.conf")
        }
        most => Line::good("open files", format!("{} allowed", shown(most))),
    }
}

fn locked() -> Line {
    let mib = getrlimit(Resource::Memlock).maximum.map(|it| it >> 20);
    match mib {
        Some(most) if most < LEAST_LOCKED_MIB => Line::note(
            "locked memory",
            format!("at most {most} MiB, too little for page-locked buffers of some engines"),
        )
        .fix("ulimit -l unlimited   # as root, or in /etc/security/limits.conf"),
        most => Line::good("locked memory", format!("{} MiB allowed", shown(most))),
    }
}

fn shown(limit: Option<u64>) -> String {
    limit.map_or_else(|| "any number".to_owned(), |it| it.to_string())
}

/// Nothing where the system shows none, as in virtual machines.
fn governor() -> Option<Line> {
    let governor = machine::governor()?;
    Some(if governor == "performance" {
        Line::good("governor", "performance")
    } else {
        Line::note("governor", format!("`{governor}`: processor clocks follow the load"))
            .fix("sudo cpupower frequency-set -g performance")
    })
}
