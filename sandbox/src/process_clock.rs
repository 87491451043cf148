//! A clock for a process, which a test can set and speed up: a small library preloaded in front of the C library.

use std::{
    fs::File,
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process::Command,
};

/// The clock of one process, or of several in turn.
#[derive(Debug)]
pub struct ProcessClock {
    file: PathBuf,
    library: PathBuf,
}

impl ProcessClock {
    /// A clock that shows the right time. Its files lie in `folder`. The library is built with the C compiler, which
    /// the relay needs to be linked anyway.
    ///
    /// # Errors
    ///
    /// The library cannot be built, or the files cannot be written.
    pub fn new(folder: &Path) -> io::Result<Self> {
        let library = folder.join("clock.so");
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/src/process_clock.c");
        let built = Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(source).status()?;
        if !built.success() {
            return Err(io::Error::other(format!("cc cannot build {source}")));
        }
        let clock = Self { file: folder.join("clock"), library };
        clock.set(0)?;
        Ok(clock)
    }

    /// Shifts the wall clock by this many seconds from now on.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn set(&self, seconds: i64) -> io::Result<()> {
        // Written in place, since the process has the file mapped.
        let mut file = File::options().write(true).create(true).truncate(false).mode(0o600).open(&self.file)?;
        file.write_all(&(seconds.saturating_mul(1000)).to_ne_bytes())
    }

    /// Gives the clock to a process that is about to start. Every clock of that process runs `speed` times as fast.
    pub fn give(&self, command: &mut Command, speed: u32) {
        command.env("LD_PRELOAD", &self.library);
        command.env("TEST_CLOCK", &self.file).env("TEST_CLOCK_SPEED", speed.to_string());
    }
}
