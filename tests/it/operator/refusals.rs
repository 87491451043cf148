//! What the command line refuses, and how it says so: wrong usage, wrong configuration, and what the machine does not let it do.

use std::{ffi::OsStr, os::unix::ffi::OsStrExt, process::Stdio};

use onetribe_relay::{
    clock::Timestamp,
    inbox::{Inbox, sqlite::SqliteInbox},
};

use crate::command::{command, past, run};

#[actix_web::test]
async fn wrong_usage_and_wrong_configuration_are_told_from_failures() {
    let (world, _) = past(&[("PUBLIC_URL", "")]);
    for (args, says) in [
        (&["backfill"][..], "--since <DATE>"),
        (&["backfill", "--since", "yesterday"], "a date such as 2024-03-05"),
        (&["backfill", "--since", "2024-03-05", "--until", "2024-03-01"], "--since must lie before --until"),
        (&["backfill", "--since", "2999-01-01"], "in the past"),
        (&["hooks", "update"], "PUBLIC_URL is not set"),
        (&["orders", "resend"], "<IDS|--state <STATE>>"),
        (&["orders", "resend", "--state", "delivered"], "only `failed` or `gone`"),
        (&["orders", "list", "--state", "lost"], "a state is one of"),
        (&["orders", "list", "--limit", "abc"], "a whole number from 1 to 10000"),
        (&["orders", "list", "--limit", "10001"], "a whole number from 1 to 10000"),
        (&["chekc"], "similar"),
    ] {
        let (code, _, errors) = run(&world, args).await;
        assert_eq!(code, 2, "{args:?}: {errors}");
        assert!(errors.contains(says), "{args:?}: {errors}");
    }
    let mut bare = command(&world, &["check"]);
    let output = bare.env_remove("BIGCOMMERCE_STORE_HASH").env("PORT", "many").output().unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(errors.contains("BIGCOMMERCE_STORE_HASH") && errors.contains("PORT"), "{errors}");
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
async fn a_database_that_cannot_be_opened_is_told_by_its_variable_and_without_its_place() {
    let (mut world, _) = past(&[("RUST_LOG", "trace")]);
    let nowhere = world.folder.path().join("hunter2").join("hunter3.db");
    world.set("DATABASE_URL", &format!("sqlite://{}", nowhere.display()));
    for (args, says) in [
        (&["serve"][..], "DATABASE_URL: the database's lock file cannot be made: No such file or directory"),
        (&["orders", "list"], "error: DATABASE_URL: the database cannot be used: "),
        (&["migrate", "--to", "postgres://localhost:1/x"], "error: there is no inbox where DATABASE_URL says\n"),
    ] {
        let (code, said, errors) = run(&world, args).await;
        let said = said + &errors;
        assert!(code == 1 && said.contains(says) && !said.contains("hunter"), "{said}");
    }
    world.set("DATABASE_URL", "postgres://relay:hunter2@127.0.0.1:1/hunter2");
    let (code, said, errors) = run(&world, &["orders", "list"]).await;
    assert!(code == 1 && errors.contains("DATABASE_URL: the database cannot be used: "), "{said}{errors}");
    assert!(errors.contains("Connection refused") && !errors.contains("hunter2"), "{errors}");
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
async fn a_database_that_was_not_there_is_told_of_once() {
    let (world, _) = past(&[]);
    let (code, said, errors) = run(&world, &["orders", "list"]).await;
    assert_eq!((code, &*said), (0, ""));
    assert_eq!(errors, "note: there was no database where DATABASE_URL says; a new, empty one has been made\n");
    let (_, _, errors) = run(&world, &["orders", "list"]).await;
    assert_eq!(errors, "");
    world.finish().await;
}

#[actix_web::test]
async fn an_output_that_cannot_be_written_is_a_failure_and_a_closed_pipe_is_none() {
    let (world, _) = past(&[]);
    let inbox = SqliteInbox::open(&world.database()).await.unwrap();
    let connection = inbox.connection("bigcommerce", &world.store.config().hash, Timestamp::now()).await.unwrap();
    let orders = (1..=200).map(|id| id.to_string().parse().unwrap()).collect();
    inbox.want(connection, orders, false, Timestamp::now()).await.unwrap();
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
    }
    world.finish().await;
}
