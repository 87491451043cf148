//! What the command line refuses, and how it says so: wrong usage, wrong configuration, and what the machine does not
//! let it do.

use std::{
    ffi::OsStr,
    io::{Read, Write},
    os::unix::ffi::OsStrExt,
    process::Stdio,
};

use onetribe_relay::{
    clock::Timestamp,
    connection::environment::record_environment,
    inbox::{Inbox, Wanted, sqlite::SqliteInbox},
    object::ResourceName,
};

use super::command::{command, past, run};
use crate::relay::world::World;

#[actix_web::test]
async fn wrong_usage_and_wrong_configuration_are_told_from_failures() {
    let (world, _) = past(&[("PUBLIC_URL", "")]);
    for (args, says) in [
        (&["backfill"][..], "--since <DATE>"),
        (&["backfill", "--since", "yesterday"], "a date such as 2024-03-05"),
        (&["backfill", "--since", "2024-03-05", "--until", "2024-03-01"], "--since must lie before --until"),
        (&["backfill", "--since", "2999-01-01"], "in the past"),
        (&["hooks", "update"], "PUBLIC_URL is not set"),
        (&["orders", "resend"], "<ORDER|--state <STATE>>"),
        (&["orders", "resend", "../store"], "'../store' for '[ORDER]...': an id is a positive whole number"),
        (&["orders", "resend", " "], "an id is a positive whole number"),
        (&["orders", "resend", "-5"], "an id is a positive whole number"),
        (&["hooks", "list"], "PUBLIC_URL is not set: the relay's webhooks lead to it"),
        (&["orders", "resend", "--state", "delivered"], "[possible values: failed, gone]"),
        (&["orders", "list", "--state", "lost"], "[possible values: pending, delivered, failed, gone, skipped]"),
        (&["orders", "list", "--limit", "abc"], "a whole number from 1 to 10000"),
        (&["orders", "list", "--limit", "10001"], "a whole number from 1 to 10000"),
        (&["chekc"], "similar"),
        (&["orders", "list", "--connection", "0"], "--connection"),
        (&["orders", "list", "--connection", "7"], "there is no connection 7. There are:\n  1: "),
        (&["connections", "show", "1", "--connection", "1"], "cannot be used with"),
        (&["connections", "add", "nowhere.json"], "nowhere.json cannot be read: No such file"),
        (&["connections", "rekey"], "CREDENTIALS_KEY is not set"),
        (&["migrate"], "MIGRATE_TO"),
        (&["alerts", "test"], "ALERT_URL is not set"),
    ] {
        let (code, _, errors) = run(&world, args).await;
        assert_eq!(code, 2, "{args:?}: {errors}");
        assert!(errors.contains(says), "{args:?}: {errors}");
    }
    let mut bare = command(&world, &["check"]);
    bare.env_remove("BIGCOMMERCE_STORE_HASH").env("BIGCOMERCE_STORE_HASH", "abcde").env("PORT", "many");
    let output = bare.output().unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(errors.contains("\n  BIGCOMMERCE_STORE_HASH: ") && errors.contains("\n  PORT: "), "{errors}");
    assert!(errors.ends_with("did you mean BIGCOMMERCE_STORE_HASH?\n"), "{errors}");
    let output = command(&world, &["check"]).env_clear().output().unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(errors.contains("/.env: copy `.env.example` to that place and fill it in\n"), "{errors}");
    world.finish().await;
}

#[actix_web::test]
async fn a_variable_that_is_no_text_is_a_fault_and_hides_the_files() {
    let (world, _) = past(&[]);
    std::fs::write(world.folder.path().join(".env"), "ADMIN_TOKEN=0123456789abcdef\n").unwrap();
    let mut bare = command(&world, &["check"]);
    let output = bare.env("ADMIN_TOKEN", OsStr::from_bytes(b"\xff")).env("PORT", "many").output().unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{errors}");
    assert!(errors.contains("2 faults:") && errors.contains("\n  ADMIN_TOKEN: must be text in UTF-8"), "{errors}");
    world.finish().await;
}

#[actix_web::test]
async fn a_database_that_cannot_be_opened_is_told_by_its_variable_path_and_cure_and_without_its_password() {
    let (mut world, _) = past(&[("RUST_LOG", "trace")]);
    let nowhere = world.folder.path().join("nowhere").join("relay.db");
    world.set("DATABASE_URL", &format!("sqlite://{}", nowhere.display()));
    let why = format!("DATABASE_URL: the database {} cannot be used: No such file or directory", nowhere.display());
    for args in [&["serve"][..], &["orders", "list"]] {
        let (code, said, errors) = run(&world, args).await;
        let said = said + &errors;
        assert!(code == 1 && said.contains(&why) && said.contains("make its folder first"), "{said}");
    }
    let folder = world.folder.path().display().to_string();
    world.set("DATABASE_URL", &format!("sqlite://{folder}"));
    let (_, _, errors) = run(&world, &["orders", "list"]).await;
    let cure = format!("; name a file in that folder: DATABASE_URL=sqlite://{folder}/relay.db\n");
    assert!(errors.ends_with(&cure), "{errors}");
    world.set("DATABASE_URL", &format!("sqlite://{}", nowhere.display()));
    let (code, _, errors) = run(&world, &["migrate", "--to", "postgres://localhost:1/x"]).await;
    assert!(code == 1 && errors.starts_with("error: there is no inbox where DATABASE_URL says"), "{errors}");
    world.set("DATABASE_URL", "postgres://relay:hunter2@127.0.0.1:1/hunter2");
    let (code, said, errors) = run(&world, &["orders", "list"]).await;
    assert!(code == 1 && errors.contains("DATABASE_URL: the database cannot be used: "), "{said}{errors}");
    assert!(errors.contains("no connection to 127.0.0.1:1 (Connection refused"), "{errors}");
    assert!(
        errors.ends_with("; start the server, or correct host and port of the URL\n") && !errors.contains("hunter2"),
        "{errors}"
    );
    world.finish().await;
}

#[actix_web::test]
async fn a_password_is_no_argument_and_comes_from_variable_file_or_standard_input() {
    let (world, _) = past(&[]);
    for url in ["postgres://relay:hunter2@127.0.0.1:1/x", "postgres://127.0.0.1:1/x?password=hunter2"] {
        let (code, said, errors) = run(&world, &["migrate", "--to", url]).await;
        assert_eq!((code, &*said), (2, ""), "{errors}");
        assert!(errors.contains("a password in an argument can be read") && !errors.contains("hunter2"), "{errors}");
    }
    // The file's database is there, the target's server is not: each way to give it leads as far as that.
    let (code, _, _) = run(&world, &["orders", "list"]).await;
    assert_eq!(code, 0);
    let url = "postgres://relay:hunter2@127.0.0.1:1/hunter2";
    let file = world.folder.path().join("url");
    std::fs::write(&file, format!("{url}\n")).unwrap();
    let mut variable = command(&world, &["migrate"]);
    let mut named = command(&world, &["migrate", "--to-file", file.to_str().unwrap()]);
    let mut piped = command(&world, &["migrate", "--to", "-"]);
    for command in [variable.env("MIGRATE_TO", url), &mut named, piped.stdin(std::fs::File::open(&file).unwrap())] {
        let output = command.output().unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{errors}");
        assert!(errors.contains("Connection refused") && !errors.contains("hunter2"), "{errors}");
    }
    world.finish().await;
}

#[actix_web::test]
async fn a_fault_in_the_file_is_told_by_its_line() {
    let (world, _) = past(&[]);
    std::fs::write(world.folder.path().join(".env"), "PORT=8080\n\nADMIN_TOKEN=hunter2 hunter3\n").unwrap();
    let (code, _, errors) = run(&world, &["check"]).await;
    let said = "error: .env, line 3: the value of ADMIN_TOKEN has spaces in it: put it in single quotes\n";
    assert_eq!((code, &*errors), (2, said));
    world.finish().await;
}

#[actix_web::test]
async fn a_file_that_cannot_be_read_is_told_by_its_path() {
    let (world, _) = past(&[]);
    let path = world.folder.path().join(".env");
    std::fs::create_dir(&path).unwrap();
    let (code, _, errors) = run(&world, &["check"]).await;
    let said = format!("error: {} cannot be read: Is a directory (os error 21); it has to be a file\n", path.display());
    assert_eq!((code, errors), (2, said));
    world.finish().await;
}

#[actix_web::test]
async fn what_is_most_likely_not_meant_is_warned_of() {
    let (mut world, _) = past(&[("PUBLIC_URL", "")]);
    let text = "ALERT_URL=https://127.0.0.1/$hunter2\nPUBLC_URL=https://relay.example\n";
    std::fs::write(world.folder.path().join(".env"), text).unwrap();
    let file = ".env, line 1: `$` is taken for the beginning of another variable's name in the value of ALERT_URL: put \
                the value in single quotes";
    let name = "PUBLC_URL is not a variable of the relay and is ignored: did you mean PUBLIC_URL?";
    let (_, _, errors) = run(&world, &["check"]).await;
    assert!(errors.starts_with(&format!("warning: {file}\nwarning: {name}\n")), "{errors}");
    let (_, _, errors) = run(&world, &["orders", "list"]).await;
    assert_eq!(errors, "");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    world.set("PORT", &taken.local_addr().unwrap().port().to_string());
    let (_, said, _) = run(&world, &["serve"]).await;
    assert!(said.contains(&format!(" WARN {file}\n")) && said.contains(&format!(" WARN {name}\n")), "{said}");
    world.finish().await;
}

#[actix_web::test]
async fn a_database_that_was_not_there_is_told_of_once() {
    let (world, _) = past(&[]);
    let (code, said, errors) = run(&world, &["orders", "list"]).await;
    assert_eq!((code, &*said), (0, "no orders yet\n"));
    let path = world.database().display().to_string();
    let note = format!("note: there was no database at {path} (DATABASE_URL); a new, empty one has been made\n");
    assert_eq!(errors, note);
    let (_, _, errors) = run(&world, &["orders", "list"]).await;
    assert_eq!(errors, "");
    world.finish().await;
}

#[actix_web::test]
async fn an_output_that_cannot_be_written_is_a_failure_and_a_closed_pipe_is_none() {
    let (world, _) = past(&[]);
    let inbox = SqliteInbox::open(&world.database()).await.unwrap();
    record_environment(&inbox, world.config().environment.as_ref(), Timestamp::now()).await.unwrap();
    let connection = inbox.connections(0).await.unwrap()[0].id;
    let orders = (1..=200).map(|id| Wanted::updated(id.to_string().parse().unwrap())).collect();
    inbox.want(connection, ResourceName::orders(), orders, false, Timestamp::now()).await.unwrap();
    inbox.close().await;
    for args in [&["orders", "list"][..], &["orders", "list", "--json"], &["completions", "bash"]] {
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let output = command(&world, args).stdout(full).output().unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{args:?}: {errors}");
        assert!(errors.starts_with("error: the output cannot be written: No space left"), "{args:?}: {errors}");

        let mut child = command(&world, args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!((output.status.code(), &*output.stderr), (Some(0), &b""[..]), "{args:?}");
    }
    world.finish().await;
}

#[actix_web::test]
async fn a_port_that_is_taken_is_told_by_its_variable() {
    let (mut world, _) = past(&[]);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    for name in ["METRICS_PORT", "PORT"] {
        let own = world.port.to_string();
        world.set("PORT", if name == "PORT" { &port } else { &own });
        world.set("METRICS_PORT", if name == "PORT" { "" } else { &port });
        let (code, said, _) = run(&world, &["serve"]).await;
        assert!(code == 1 && said.contains(&format!("ERROR {name}: cannot listen on 127.0.0.1:{port}: ")), "{said}");
        assert!(
            said.contains(&format!("; stop the program that listens there, or set {name} to a free port")),
            "{said}"
        );
    }
    world.set("HOST", "192.0.2.1");
    let (_, said, _) = run(&world, &["serve"]).await;
    assert!(said.contains("ERROR HOST: ") && said.contains("; set HOST to an address of this machine"), "{said}");
    world.finish().await;
}

#[actix_web::test]
async fn another_program_on_the_relays_port_is_not_taken_for_it() {
    let (mut world, _) = past(&[]);
    let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    world.set("PORT", &other.local_addr().unwrap().port().to_string());
    for (status, body) in [(404, "nothing here"), (200, "<!doctype html>"), (503, "busy")] {
        let other = other.try_clone().unwrap();
        let answered = std::thread::spawn(move || {
            let (mut client, _) = other.accept().unwrap();
            let length = body.len();
            let _ = client.read(&mut [0; 4096]).unwrap();
            write!(client, "HTTP/1.1 {status} X\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}")
                .unwrap();
        });
        let (code, _, errors) = run(&world, &["healthcheck"]).await;
        answered.join().unwrap();
        assert!(code == 1 && errors.contains("but another program answers on port"), "{errors}");
        assert!(errors.contains(&format!("(HTTP {status}): set PORT")), "{errors}");
    }
    world.finish().await;
}

#[actix_web::test]
async fn a_file_that_a_relay_serves_is_not_moved() {
    let mut world = World::start().await;
    let relative = world.database().strip_prefix(world.folder.path()).unwrap().display().to_string();
    world.set("DATABASE_URL", &format!("sqlite://{relative}"));
    let (code, _, errors) = run(&world, &["migrate", "--to", "postgres://127.0.0.1:1/x"]).await;
    let why = format!("error: another relay is serving the database {}: stop it first", world.database().display());
    assert!(code == 1 && errors.starts_with(&why), "{errors}");
    world.stop_relay().await;
    world.finish().await;
}
