//! The sandbox command, run as a process.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    io::{BufRead, BufReader, Read},
    net::TcpListener,
    path::Path,
    process::{Child, Command, ExitStatus, Output, Stdio},
    time::{Duration, Instant},
};

/// The longest any step may take.
const PATIENCE: Duration = Duration::from_secs(120);

fn sandbox(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sandbox"));
    command.args(args).current_dir(folder).env_clear().env("TMPDIR", folder).stdin(Stdio::null());
    command
}

/// Runs the command to its end in a folder of its own. Its lines must fit a terminal, and it must leave no files.
fn run(args: &[&str]) -> (ExitStatus, String, String) {
    let folder = tempfile::tempdir().unwrap();
    let Output { status, stdout, stderr } = sandbox(folder.path(), args).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let (stdout, stderr) = (text(stdout), text(stderr));
    assert_narrow(&stdout);
    assert_left_nothing(folder.path());
    (status, stdout, stderr)
}

fn assert_narrow(said: &str) {
    for line in said.lines() {
        assert!(line.chars().count() <= 80, "{} columns: {line}", line.chars().count());
    }
}

fn assert_left_nothing(folder: &Path) {
    let left: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(left.is_empty(), "left behind: {left:?}");
}

/// Starts the command and reads its output up to a line that contains `text`.
fn run_until(folder: &Path, args: &[&str], text: &str) -> (Child, BufReader<std::process::ChildStdout>, String) {
    let mut child = sandbox(folder, args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let mut said = String::new();
    while !said.lines().last().is_some_and(|line| line.contains(text)) {
        assert_ne!(lines.read_line(&mut said).unwrap(), 0, "it ended before {text:?}: {said}");
    }
    (child, lines, said)
}

fn signal(child: &Child, name: &str) {
    assert!(Command::new("kill").args([name, &child.id().to_string()]).status().unwrap().success());
}

fn ended(child: &mut Child) -> ExitStatus {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if Instant::now() > until {
            child.kill().unwrap();
            panic!("it does not end");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn each_order_has_a_line_and_the_summary_explains_its_words() {
    let (status, said, errors) = run(&["--orders", "3", "--exit"]);
    assert!(status.success(), "{said}{errors}");
    assert_eq!(said.lines().filter(|line| line.starts_with("order ") && line.contains("at One Tribe")).count(), 3);
    assert!(said.contains("/integration") && said.contains("password sandbox-admin-token"), "{said}");
    assert!(said.contains("3 of 3 orders arrived"), "{said}");
    for found in ["0 missing ", "0 doubled ", "0 stale ", "0 overlapping "] {
        assert!(said.contains(found), "{found}: {said}");
    }
    assert_eq!(errors, "");
}

/// Plays every failure in turn; each prints its promise and that it was kept.
#[test]
fn every_trouble_is_told_with_its_promise_and_the_promise_is_kept() {
    let troubles = ["--one-tribe-down", "3s", "--store-down", "3s", "--refuse", "2", "--lose-webhooks", "2"];
    let (status, said, errors) = run(&[&troubles[..], &["--orders", "2", "--exit"]].concat());
    assert!(status.success(), "{said}{errors}");
    for title in [
        "One Tribe is down for 3 s.",
        "The store's API is down for 3 s.",
        "One Tribe refuses 2 orders, twice each.",
        "The webhooks of 2 orders are lost.",
    ] {
        let story = said.split_once(title).unwrap_or_else(|| panic!("{title}: {said}")).1;
        let story = story.split("\n\n").next().unwrap();
        let at = |text: &str| story.find(text).unwrap_or_else(|| panic!("{text}: {story}"));
        assert!(at("What happens") < at("The promise") && at("The promise") < at("\norder "), "{story}");
        assert!(at("\norder ") < at("  Kept  "), "{story}");
    }
    assert!(!said.contains("NOT KEPT"), "{said}");
    assert_eq!(said.matches("refused by One Tribe (422)").count(), 4, "{said}");
    assert_eq!(said.matches("webhook    lost").count(), 2, "{said}");
    assert!(said.contains("waits\n"), "{said}");
}

#[test]
fn orders_that_do_not_arrive_are_a_failure() {
    let (status, said, _) = run(&["--orders", "200", "--exit", "--patience", "0"]);
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains(" of 200 orders arrived"), "{said}");
}

#[test]
fn ctrl_c_ends_it_with_a_summary_and_leaves_nothing() {
    for (name, args) in [
        ("-INT", &["--orders", "1"][..]),
        ("-TERM", &["--orders", "1"]),
        ("-HUP", &["--orders", "1"]),
        ("-INT", &["--orders", "1", "--one-tribe-down", "10m"]),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let until = if args.len() > 2 { "waits" } else { "until Ctrl-C" };
        let (mut child, mut lines, mut said) = run_until(folder.path(), args, until);
        // A wrapper such as `timeout` sends the signal to the process group as well.
        let twice = "kill $0 $1; sleep 0.05; kill $0 $1";
        assert!(Command::new("sh").args(["-c", twice, name, &child.id().to_string()]).status().unwrap().success());
        lines.read_to_string(&mut said).unwrap();
        assert!(ended(&mut child).success(), "{said}");
        assert!(said.contains("orders arrived") || said.contains("order arrived"), "{said}");
        assert!(said.contains(" waiting ") && said.contains("0 doubled "), "{said}");
        assert_narrow(&said);
        assert_left_nothing(folder.path());
    }
}

#[test]
fn ctrl_c_before_all_have_arrived_is_a_failure_with_exit() {
    let folder = tempfile::tempdir().unwrap();
    let args = ["--orders", "1", "--one-tribe-down", "10m", "--exit"];
    let (mut child, mut lines, mut said) = run_until(folder.path(), &args, "waits");
    signal(&child, "-INT");
    lines.read_to_string(&mut said).unwrap();
    assert_eq!(ended(&mut child).code(), Some(1), "{said}");
    assert_left_nothing(folder.path());
}

#[test]
fn it_is_quiet_and_ends_when_nobody_reads_any_more() {
    let folder = tempfile::tempdir().unwrap();
    let (mut child, lines, _) = run_until(folder.path(), &["--orders", "1"], "A simulated");
    drop(lines);
    let mut errors = String::new();
    assert!(ended(&mut child).success());
    child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
    assert_eq!(errors, "");
    assert_left_nothing(folder.path());
}

#[test]
fn the_other_ways_to_run_it_end_with_a_signal_too() {
    for args in [&["--stores", "3", "--orders", "3"][..], &["--app"], &["--elements", "--orders", "1"]] {
        let folder = tempfile::tempdir().unwrap();
        let (mut child, mut lines, mut said) = run_until(folder.path(), args, "until Ctrl-C");
        signal(&child, "-INT");
        lines.read_to_string(&mut said).unwrap();
        assert!(ended(&mut child).success(), "{said}");
        assert_narrow(&said);
        assert_left_nothing(folder.path());
    }
}

#[test]
fn the_port_is_the_relays_and_a_taken_one_is_named() {
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let (status, _, errors) = run(&["--port", &port]);
    assert_eq!(status.code(), Some(1));
    assert!(errors.contains(&format!("port {port} is in use")), "{errors}");
    drop(taken);
    let (status, said, errors) = run(&["--port", &port, "--orders", "1", "--exit"]);
    assert!(status.success(), "{errors}");
    assert!(said.contains(&format!("http://127.0.0.1:{port}/integration")), "{said}");
}

#[test]
fn version_help_and_wrong_flags() {
    let (status, said, _) = run(&["--version"]);
    assert!(status.success() && said.starts_with("sandbox 0."), "{said}");
    let (status, said, _) = run(&["--help"]);
    assert!(status.success());
    let readme = include_str!("../../../README.md");
    let table = readme.split_once("| flag | what it does |").unwrap().1.split("\n\n").next().unwrap();
    for flag in said.split_whitespace().filter(|word| word.starts_with("--") && word.len() > 2) {
        let flag = flag.trim_end_matches([',', ':', ';', ')', '.']);
        let is_claps = ["--help", "--version"].contains(&flag);
        assert!(is_claps || table.contains(&format!("`{flag}")), "the README does not name {flag}");
    }
    for args in [
        &["--one-tribe-down", "soon"][..],
        &["--one-tribe-down", "0s"],
        &["--store-down", "2h"],
        &["--refuse", "0"],
        &["--port", "0"],
        &["--app", "--refuse", "1"],
        &["--stores", "2", "--store-down", "3s"],
    ] {
        let (status, _, errors) = run(args);
        assert_eq!(status.code(), Some(2), "{args:?}: {errors}");
        assert!(errors.contains(args[0]), "{errors}");
    }
}
