//! A fixed share of a processor for each relay, like a container's CPU limit: a control group of its own, with version
//! 1 or 2 of the kernel's interface (cgroups(7)).

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
};

/// The period over which the kernel enforces the quota, in microseconds. The smallest quota is 1,000.
const PERIOD: u32 = 100_000;

/// A control group, removed when it is dropped. Its processes must have ended before.
pub struct Confined(PathBuf);

impl Confined {
    /// Creates a group limited to this percentage of one processor. Needs root.
    pub fn to(percent: u32) -> io::Result<Self> {
        static MADE: AtomicUsize = AtomicUsize::new(0);
        let name = format!("relay-{}-{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        let (all, first) = (Path::new("/sys/fs/cgroup"), Path::new("/sys/fs/cgroup/cpu"));
        let quota = PERIOD * percent / 100;
        if first.exists() {
            let group = Self::at(first.join(name))?;
            group.set("cpu.cfs_period_us", PERIOD)?;
            group.set("cpu.cfs_quota_us", quota)?;
            return Ok(group);
        }
        fs::write(all.join("cgroup.subtree_control"), "+cpu")?;
        let group = Self::at(all.join(name))?;
        group.set("cpu.max", format!("{quota} {PERIOD}"))?;
        Ok(group)
    }

    fn at(folder: PathBuf) -> io::Result<Self> {
        fs::create_dir(&folder)?;
        Ok(Self(folder))
    }

    fn set(&self, file: &str, value: impl ToString) -> io::Result<()> {
        fs::write(self.0.join(file), value.to_string())
    }

    /// Moves a process into the group, with all its threads.
    pub fn add(&self, process: u32) -> io::Result<()> {
        self.set("cgroup.procs", process)
    }
}

impl Drop for Confined {
    fn drop(&mut self) {
        // The kernel does not remove a group that still has a process; such a group remains until the machine restarts.
        let _ = fs::remove_dir(&self.0);
    }
}
