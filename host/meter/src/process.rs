//! Process facts from /proc, read into stack buffers: nothing here allocates except the list of a
//! tree's members.
//!
//! A process that is gone is no error; it simply has no facts.

use std::{ffi::CStr, io::Write};

use rustix::fs::{Mode, OFlags, open};

/// Times in `/proc/<pid>/stat` are in hundredths of a second on every supported architecture.
const CLOCK_TICK_NS: u64 = 10_000_000;
/// Ancestors that are looked at before a chain counts as broken.
const DEEPEST: u32 = 64;

/// Reads the begin of a small file into `buffer`.
pub(crate) fn read<'b>(path: &CStr, buffer: &'b mut [u8]) -> Option<&'b [u8]> {
    let file = open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let mut filled = 0;
    while filled < buffer.len() {
        match rustix::io::read(&file, &mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return None,
        }
    }
    Some(&buffer[..filled])
}

/// A path such as `/proc/12/stat` in a buffer, without allocation.
fn with_path<T>(pid: u32, rest: &str, then: impl FnOnce(&CStr) -> T) -> Option<T> {
    let mut buffer = [0_u8; 64];
    let mut cursor = &mut buffer[..];
    write!(cursor, "/proc/{pid}/{rest}\0").ok()?;
    CStr::from_bytes_until_nul(&buffer).ok().map(then)
}

/// A process as `/proc/<pid>/stat` shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stat {
    pub(crate) parent: u32,
    /// Processor time of its threads and of the children it has waited for.
    pub(crate) cpu_ns: u64,
}

pub(crate) fn stat(pid: u32) -> Option<Stat> {
    let mut buffer = [0_u8; 1024];
    with_path(pid, "stat", |path| parse_stat(read(path, &mut buffer)?))?
}

fn parse_stat(text: &[u8]) -> Option<Stat> {
    // The command's name may hold anything, so fields are counted from its closing parenthesis.
    let close = text.iter().rposition(|&byte| byte == b')')?;
    let mut fields = text[close + 1..].split(u8::is_ascii_whitespace).filter(|f| !f.is_empty());
    let parent = number(fields.nth(1)?)?;
    let mut ticks = 0;
    for field in [fields.nth(9)?, fields.next()?, fields.next()?, fields.next()?] {
        ticks += number(field)?;
    }
    Some(Stat { parent: u32::try_from(parent).ok()?, cpu_ns: ticks * CLOCK_TICK_NS })
}

pub(crate) fn number(digits: &[u8]) -> Option<u64> {
    std::str::from_utf8(digits).ok()?.trim().parse().ok()
}

/// Whether a process is the ancestor or is descended from it; nothing where `pid` does not exist.
pub(crate) fn belongs(pid: u32, ancestor: u32) -> Option<bool> {
    let mut current = pid;
    for _ in 0..DEEPEST {
        if current == ancestor {
            return Some(true);
        }
        let Some(stat) = stat(current) else {
            return (current != pid).then_some(false);
        };
        if stat.parent == 0 {
            return Some(false);
        }
        current = stat.parent;
    }
    Some(false)
}

/// Adds the processes below `pid` to `members`; needs a kernel that lists children.
pub(crate) fn descendants(pid: u32, members: &mut Vec<u32>) {
    let mut next = members.len();
    members.push(pid);
    while let Some(&parent) = members.get(next) {
        next += 1;
        let mut children = |task: u32| {
            let mut buffer = [0_u8; 4096];
            let rest = format!("task/{task}/children");
            let Some(Some(text)) = with_path(parent, &rest, |path| read(path, &mut buffer)) else {
                return;
            };
            let words = text.split(u8::is_ascii_whitespace);
            for child in words.filter_map(number).filter_map(|pid| u32::try_from(pid).ok()) {
                if !members.contains(&child) {
                    members.push(child);
                }
            }
        };
        let Ok(tasks) = std::fs::read_dir(format!("/proc/{parent}/task")) else { continue };
        for task in tasks.flatten() {
            if let Some(task) = task.file_name().to_str().and_then(|name| name.parse().ok()) {
                children(task);
            }
        }
    }
}

/// Whether this process sees the host's process numbers.
pub(crate) fn sees_host_pids() -> bool {
    // The initial namespace has a fixed inode number since Linux 3.8.
    let link = std::fs::read_link("/proc/self/ns/pid");
    link.is_ok_and(|link| link.as_os_str() == "pid:[4026531836]")
}

/// Time that all hardware threads together have been busy since boot.
pub(crate) fn machine_busy_ns() -> Option<u64> {
    let mut buffer = [0_u8; 512];
    let text = read(c"/proc/stat", &mut buffer)?;
    let line = text.split(|&byte| byte == b'\n').next()?;
    let mut fields = line.split(|&byte| byte == b' ').filter(|f| !f.is_empty()).skip(1);
    // user, nice, system; idle and iowait are no work; irq, softirq, steal.
    let mut busy = 0;
    for place in 0..8 {
        let value = number(fields.next()?)?;
        if !matches!(place, 3 | 4) {
            busy += value;
        }
    }
    Some(busy * CLOCK_TICK_NS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_name_with_spaces_and_parentheses_is_skipped() {
        let line = b"12 (a ) b) S 7 12 12 0 -1 4194304 1 2 3 4 50 60 7 8 20 0 1 0 100 0";
        assert_eq!(parse_stat(line), Some(Stat { parent: 7, cpu_ns: 125 * CLOCK_TICK_NS }));
    }

    #[test]
    fn this_process_belongs_to_its_parent_and_not_to_itself_reversed() {
        let own = std::process::id();
        let parent = stat(own).expect("this process exists").parent;
        assert_eq!(belongs(own, parent), Some(true));
        assert_eq!(belongs(parent, own), Some(false));
        assert_eq!(belongs(u32::MAX - 1, own), None);
    }

    #[test]
    fn a_child_is_among_the_descendants() {
        let mut child =
            std::process::Command::new("sleep").arg("30").spawn().expect("sleep exists");
        let mut members = Vec::new();
        descendants(std::process::id(), &mut members);
        child.kill().expect("it runs");
        child.wait().expect("it is ours");
        assert!(members.contains(&child.id()), "{members:?}");
    }

    #[test]
    fn the_machine_has_been_busy() {
        assert!(machine_busy_ns().expect("Linux") > 0);
    }
}
