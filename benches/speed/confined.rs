//! A fixed share of the processor for each relay, as a container of a certain size has: a control group of its own, of
//! the kernel's first or second sort (cgroups(7)).

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
};

/// How often the kernel gives the share out, in microseconds. It allows no quota below a thousand.
const PERIOD: u32 = 100_000;

/// A control group, removed when it is dropped, which its processes must not outlive.
pub struct Confined(PathBuf);

impl Confined {
    /// Makes a group that may use so many hundredths of one processor. Needs root.
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

    /// Puts a process into it, with all its threads.
    pub fn add(&self, process: u32) -> io::Result<()> {
        self.set("cgroup.procs", process)
    }
}

impl Drop for Confined {
    fn drop(&mut self) {
        // The kernel removes none that still has a process; then it is left, empty, until the machine starts again.
        let _ = fs::remove_dir(&self.0);
    }
}
