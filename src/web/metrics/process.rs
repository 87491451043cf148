//! Metrics of the process itself, under the names that every Prometheus client library uses. They are read from
//! `/proc`, and so exist on Linux only.

use std::{fs, sync::atomic::AtomicU64};

use prometheus_client::{
    metrics::{counter::Counter, gauge::Gauge},
    registry::{Registry, Unit},
};
use rustix::{
    param::{clock_ticks_per_second, page_size},
    process::{Resource, getrlimit},
};

/// Values from `/proc/self/stat` (proc_pid_stat(5)).
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    /// CPU time, in ticks.
    cpu_ticks: u64,
    /// When the process started, in ticks since boot.
    started_ticks: u64,
    /// Resident memory, in pages.
    resident_pages: u64,
}

impl Stat {
    /// Reads the fields after the name, which may itself contain spaces and brackets: the first of them is the third
    /// of all.
    fn read(text: &str) -> Option<Self> {
        let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        Some(Self { cpu_ticks: field(14)? + field(15)?, started_ticks: field(22)?, resident_pages: field(24)? })
    }
}

/// Registers the values that can be read.
pub(super) fn register(registry: &mut Registry) {
    let Some(stat) = fs::read_to_string("/proc/self/stat").ok().as_deref().and_then(Stat::read) else { return };
    let ticks = clock_ticks_per_second() as f64;
    let cpu = Counter::<f64, AtomicU64>::default();
    cpu.inc_by(stat.cpu_ticks as f64 / ticks);
    registry.register_with_unit("process_cpu", "Time on processors, user and system", Unit::Seconds, cpu);
    if let Some(booted) = booted_at() {
        let started = Gauge::<f64, AtomicU64>::default();
        started.set(booted as f64 + stat.started_ticks as f64 / ticks);
        registry.register_with_unit(
            "process_start_time",
            "When the process started, unix time",
            Unit::Seconds,
            started,
        );
    }
    let resident = super::gauge(super::whole(stat.resident_pages.saturating_mul(page_size() as u64)));
    registry.register_with_unit("process_resident_memory", "Memory in use", Unit::Bytes, resident);
    if let Ok(files) = fs::read_dir("/proc/self/fd") {
        // The directory itself is open while it is read.
        let open = files.count().saturating_sub(1) as u64;
        registry.register("process_open_fds", "Open files and connections", super::gauge(super::whole(open)));
    }
    if let Some(most) = getrlimit(Resource::Nofile).current {
        registry.register("process_max_fds", "The most that may be open", super::gauge(super::whole(most)));
    }
}

/// When the machine booted, in Unix seconds.
fn booted_at() -> Option<u64> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    stat.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_moves_no_field() {
        let numbers: String = (4..=52).map(|number| format!(" {number}")).collect();
        let read = Stat::read(&format!("77 (a b) c) S{numbers}"));
        assert_eq!(read, Some(Stat { cpu_ticks: 29, started_ticks: 22, resident_pages: 24 }));
        assert_eq!(Stat::read("77 (short) S 1 2"), None);
        assert_eq!(Stat::read(""), None);
    }
}
