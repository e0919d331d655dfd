//! What processes cost: CPU time and memory, out of `/proc`. A group is known by
//! the id of its first process; nothing is ever found by its name.

use std::collections::HashSet;
use std::fs;
use std::time::Duration;

use crate::Outcome;

/// `USER_HZ`: how many ticks of `/proc/<pid>/stat` make a second. It is 100 on
/// x86-64 and arm64.
const TICKS_A_SECOND: u64 = 100;

/// A process whose CPU time is read, with its children or without them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Meter {
    pid: u32,
    with_children: bool,
}

/// The fields of `/proc/<pid>/stat` that matter here, in ticks.
struct Stat {
    parent: u32,
    own: u64,
    /// Of children that have ended.
    of_ended: u64,
}

impl Meter {
    /// The process alone.
    pub(crate) const fn of(pid: u32) -> Self {
        Self {
            pid,
            with_children: false,
        }
    }

    /// The process and its children, those that have ended too: a postmaster.
    pub(crate) const fn with_children(pid: u32) -> Self {
        Self {
            pid,
            with_children: true,
        }
    }

    /// The CPU time so far.
    pub(crate) fn read(&self) -> Outcome<Duration> {
        let stat = stat(self.pid).ok_or("a measured process has ended")?;
        let mut ticks = stat.own;
        if self.with_children {
            ticks += stat.of_ended;
            for pid in children_of(self.pid)? {
                ticks += self::stat(pid).map_or(0, |child| child.own + child.of_ended);
            }
        }
        Ok(Duration::from_millis(ticks * 1000 / TICKS_A_SECOND))
    }
}

/// The processes that `parent` has started and that run.
pub(crate) fn children_of(parent: u32) -> Outcome<HashSet<u32>> {
    let mut children = HashSet::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        if let Some(pid) = name.to_str().and_then(|name| name.parse().ok())
            && stat(pid).is_some_and(|stat| stat.parent == parent)
        {
            children.insert(pid);
        }
    }
    Ok(children)
}

/// The process that `start` starts as a child of this one.
pub(crate) async fn started<T>(start: impl Future<Output = Outcome<T>>) -> Outcome<(T, u32)> {
    let before = children_of(std::process::id())?;
    let made = start.await?;
    let after = children_of(std::process::id())?;
    let new: Vec<u32> = after.difference(&before).copied().collect();
    match new[..] {
        [pid] => Ok((made, pid)),
        _ => Err(format!("one new process was expected, and there are {}", new.len()).into()),
    }
}

/// The resident memory of a process, in bytes.
pub(crate) fn resident(pid: u32) -> Outcome<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next());
    let kilobytes: u64 = kilobytes.ok_or("no VmRSS")?.parse()?;
    Ok(kilobytes * 1024)
}

fn stat(pid: u32) -> Option<Stat> {
    parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// proc(5). The second field, the name in brackets, may hold anything.
fn parse(stat: &str) -> Option<Stat> {
    let (_, rest) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    // The first of these is the third of proc(5).
    let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
    Some(Stat {
        parent: u32::try_from(field(4)?).ok()?,
        own: field(14)? + field(15)?,
        of_ended: field(16)? + field(17)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_are_found_behind_any_name() {
        let line = "42 (a) b) S 7 42 42 0 -1 4194560 1 2 3 4 50 6 70 8 20 0 1 0 99";
        let stat = parse(line).unwrap();
        assert_eq!((stat.parent, stat.own, stat.of_ended), (7, 56, 78));
    }

    #[test]
    fn this_process_has_used_memory_and_no_negative_time() {
        let pid = std::process::id();
        assert!(resident(pid).unwrap() > 100_000);
        let before = Meter::of(pid).read().unwrap();
        assert!(Meter::with_children(pid).read().unwrap() >= before);
    }
}
