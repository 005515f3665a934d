//! Which processors are the host's own, where the user asks to keep engines away from them.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::config::{HOST_CORES, cores};

/// The processors that this process may use, divided.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cores {
    /// For the host: its load generator, instruments and everything else. None: they are not divided.
    pub(crate) host: Vec<usize>,
    /// For engines.
    pub(crate) engines: Vec<usize>,
}

/// Divides the processors as the user configured, and keeps this thread, and those that it will start, to the host's.
pub(crate) fn divide() -> Result<Cores, String> {
    let Some(text) = HOST_CORES.get() else {
        return Ok(Cores::default());
    };
    let failed = |it: rustix::io::Errno| format!("`{}`: {it}", HOST_CORES.name);
    let set = sched_getaffinity(None).map_err(failed)?;
    let all: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|it| set.is_set(*it)).collect();
    let cores = divided(&text, &all).map_err(|why| format!("`{}`: {why}", HOST_CORES.name))?;
    let mut own = CpuSet::new();
    cores.host.iter().for_each(|it| own.set(*it));
    sched_setaffinity(None, &own).map_err(failed)?;
    Ok(cores)
}

fn divided(text: &str, all: &[usize]) -> Result<Cores, String> {
    let listed = |it: &[usize]| it.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let host = cores(text)
        .ok_or_else(|| format!("expected numbers of processors such as `0,1`, found `{text}`"))?;
    if let Some(missing) = host.iter().find(|it| !all.contains(it)) {
        return Err(format!("no processor {missing} among those of this process: {}", listed(all)));
    }
    let engines: Vec<usize> = all.iter().copied().filter(|it| !host.contains(it)).collect();
    if engines.is_empty() {
        return Err(format!("`{text}` leaves none of {} for engines", listed(all)));
    }
    Ok(Cores { host, engines })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn engines_get_what_the_host_does_not_keep() {
        let cores = divided("0,3", &[0, 1, 2, 3]).expect("two are left");
        assert_eq!(cores, Cores { host: vec![0, 3], engines: vec![1, 2] });
        for (text, said) in
            [("0-1", "found `0-1`"), ("9", "no processor 9"), ("0,1", "leaves none")]
        {
            let error = divided(text, &[0, 1]).expect_err(text);
            assert!(error.contains(said), "{error}");
        }
    }
}
