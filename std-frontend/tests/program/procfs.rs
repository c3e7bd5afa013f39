//! What `/proc` and ps show of a process.

use std::time::{Duration, Instant};

/// Longer than anything takes that works.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// Waits until `is` holds.
#[track_caller]
pub(crate) fn await_that(what: &str, mut is: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is() {
        assert!(begun.elapsed() < PATIENCE, "it is not so: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A field of `/proc/PID/status`.
pub(crate) fn status(pid: u32, field: &str) -> Option<String> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let value = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    value.map(|value| value.trim().to_owned())
}

/// The children of a process, and how many of them are zombies.
pub(crate) fn children(pid: u32) -> (Vec<u32>, usize) {
    let Ok(tasks) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return (vec![], 0) };
    let lists = tasks.filter_map(|task| {
        // A thread may have ended meanwhile.
        std::fs::read_to_string(task.ok()?.path().join("children")).ok()
    });
    let lists: Vec<_> = lists.collect();
    let pids = lists.iter().flat_map(|list| list.split_whitespace());
    let pids: Vec<u32> = pids.map(|pid| pid.parse().unwrap()).collect();
    let is_zombie = |pid: &&u32| status(**pid, "State").is_some_and(|state| state.starts_with('Z'));
    let zombies = pids.iter().filter(is_zombie).count();
    (pids, zombies)
}

pub(crate) fn threads(pid: u32) -> usize {
    status(pid, "Threads").unwrap().parse().unwrap()
}

pub(crate) fn descriptors(pid: u32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
}

/// The sockets among them, as the system names them, from standard input on.
pub(crate) fn sockets(pid: u32) -> Vec<String> {
    let folder = format!("/proc/{pid}/fd");
    let Ok(open) = std::fs::read_dir(&folder) else { return Vec::new() };
    let number = |entry: std::io::Result<std::fs::DirEntry>| {
        entry.ok()?.file_name().to_str()?.parse::<u32>().ok()
    };
    let mut open: Vec<_> = open.filter_map(number).collect();
    open.sort_unstable();
    let links = open.iter().filter_map(|fd| std::fs::read_link(format!("{folder}/{fd}")).ok());
    let names = links.filter_map(|link| link.into_os_string().into_string().ok());
    names.filter(|name| name.starts_with("socket:")).collect()
}

/// The processor's time that a process has used, in hundredths of a second.
pub(crate) fn ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<_> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

/// The memory of a process that is resident, in KiB.
pub(crate) fn resident(pid: u32) -> Option<u64> {
    status(pid, "VmRSS")?.split(' ').next()?.parse().ok()
}

/// The part of it that is no file's, so that nobody shares it, in KiB.
pub(crate) fn own_memory(pid: u32) -> Option<u64> {
    status(pid, "RssAnon")?.split(' ').next()?.parse().ok()
}
