//! What a process and the machine have used, as the kernel counts it.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;

/// Bytes of a block in `stat`'s counts, whatever the file system uses.
const STAT_BLOCK: u64 = 512;

/// A process at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ProcessUse {
    /// Processor time since its start, in user and kernel mode.
    pub(super) cpu: Duration,
    /// Memory held now, in bytes.
    pub(super) resident: u64,
    /// Most memory held so far, in bytes.
    pub(super) resident_peak: u64,
}

impl ProcessUse {
    /// `None` if there is no such process, or the system has no `/proc`.
    pub(super) fn of(pid: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        Self::parse(&stat, &status, rustix::param::clock_ticks_per_second())
    }

    /// Two processes together.
    pub(super) fn and(self, other: Self) -> Self {
        Self {
            cpu: self.cpu + other.cpu,
            resident: self.resident + other.resident,
            resident_peak: self.resident_peak + other.resident_peak,
        }
    }

    fn parse(stat: &str, status: &str, ticks_per_second: u64) -> Option<Self> {
        // The name, in parentheses, may hold anything; fields are counted from behind it.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let ticks = |place: usize| fields.get(place)?.parse::<u64>().ok();
        let ticks = ticks(11)? + ticks(12)?;
        Some(Self {
            cpu: Duration::from_nanos(ticks * 1_000_000_000 / ticks_per_second),
            resident: kilobytes(status, "VmRSS:")?,
            resident_peak: kilobytes(status, "VmHWM:")?,
        })
    }
}

fn kilobytes(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let number = line.split_whitespace().next()?.parse::<u64>().ok()?;
    Some(number * 1024)
}

/// Processor time of the whole machine since its start, in ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MachineUse {
    idle: u64,
    all: u64,
}

impl MachineUse {
    pub(super) fn now() -> Option<Self> {
        Self::parse(&fs::read_to_string("/proc/stat").ok()?)
    }

    fn parse(stat: &str) -> Option<Self> {
        let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
        let ticks: Vec<u64> = line
            .split_whitespace()
            .map_while(|n| n.parse().ok())
            .collect();
        // Guests' time is counted in user's already.
        let all = ticks.iter().take(8).sum();
        Some(Self {
            idle: ticks.get(3)? + ticks.get(4)?,
            all,
        })
    }

    /// Percent of the time since then that no processor had anything to do.
    pub(super) fn idle_percent_since(self, before: Self) -> Option<u64> {
        let idle = self.idle.saturating_sub(before.idle);
        (100 * idle).checked_div(self.all.saturating_sub(before.all))
    }
}

/// What the figures were measured on.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Machine {
    pub(super) processors: usize,
    pub(super) model: String,
    /// Average number of tasks that wanted to run in the minute before the bench began: beyond 0,
    /// others share the machine.
    pub(super) load_before: String,
}

impl Machine {
    pub(super) fn look() -> Self {
        let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = cpu.lines().find_map(|line| line.strip_prefix("model name"));
        let model = model.map_or("unknown", |name| name.trim_start_matches([' ', '\t', ':']));
        let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
        Self {
            processors: std::thread::available_parallelism().map_or(1, usize::from),
            model: model.to_owned(),
            load_before: load
                .split_whitespace()
                .next()
                .unwrap_or("unknown")
                .to_owned(),
        }
    }
}

/// Bytes on disk under a directory. Files may come and go meanwhile.
pub(super) fn disk_bytes(directory: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => disk_bytes(&entry.path()),
            // What is allocated: a file's length counts its holes too.
            Ok(metadata) => metadata.blocks() * STAT_BLOCK,
            Err(_) => 0,
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_read_whatever_its_name() {
        let stat = "7 (a ) b) S 1 7 7 0 -1 4194560 900 0 0 0 150 50 0 0 20 0 9 0 100 1000 200";
        let status = "Name:\ta\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\n";
        let found = ProcessUse::parse(stat, status, 100).unwrap();
        assert_eq!(found.cpu, Duration::from_secs(2));
        assert_eq!((found.resident, found.resident_peak), (1 << 20, 2 << 20));
        assert_eq!(ProcessUse::parse("7 a S", status, 100), None);
        assert!(ProcessUse::of(std::process::id()).unwrap().resident > 0);
    }

    #[test]
    fn idle_time_is_a_share_of_all_time() {
        let before = MachineUse::parse("cpu  10 0 10 70 10 0 0 0 0 0\ncpu0 1\n").unwrap();
        let after = MachineUse::parse("cpu  60 0 10 90 20 0 0 20 5 0\n").unwrap();
        assert_eq!(after.idle_percent_since(before), Some(30));
        assert_eq!(after.idle_percent_since(after), None);
    }

    #[test]
    fn the_disk_under_a_directory_is_counted_deeply() {
        let directory = tempfile::tempdir().unwrap();
        let below = directory.path().join("below");
        fs::create_dir(&below).unwrap();
        fs::write(below.join("file"), vec![1; 100_000]).unwrap();
        let found = disk_bytes(directory.path());
        assert!((100_000..=200_000).contains(&found), "{found}");
    }
}
