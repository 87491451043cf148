//! `sslmode` against a server with real certificates: accepted connections are encrypted and verified as far as the
//! mode requires, refused ones get a helpful reason, and no message contains the password.

use std::path::Path;

use onetribe_relay::inbox::{Inbox, InboxError, postgres::PostgresInbox};
use sqlx::PgPool;

use super::postgres_world::{START, connection_to};
use crate::support::{
    postgres::{Cluster, Database, skip},
    tls::{Authority, named, speak_tls},
};

const PASSWORD: &str = "hunter2";
/// The only name in the server's certificate, which does not contain the server's address.
const HOST: &str = "localhost";
const ANOTHER_HOST: &str = "127.0.0.1";
/// The relay's connections are accepted only with TLS, or only without.
const ONLY_WITH: &str = "hostssl";
const ONLY_WITHOUT: &str = "hostnossl";

struct Place {
    database: Database,
    cluster: Cluster,
    authority: Authority,
}

impl Place {
    async fn new(entry: &str) -> Option<Self> {
        let Some(cluster) = Cluster::start() else { return skip() };
        let database = cluster.database().await;
        let password = sqlx::AssertSqlSafe(format!("ALTER ROLE relay PASSWORD '{PASSWORD}'"));
        sqlx::query(password).execute(&database.look().await).await.unwrap();
        let place = Self { database, cluster, authority: Authority::new() };
        speak_tls(&place.cluster, &place.authority.issue(named(HOST)), entry);
        Some(place)
    }

    fn url(&self, host: &str, parameters: &str) -> String {
        let url = self.database.url().replacen("relay@127.0.0.1", &format!("relay:{PASSWORD}@{host}"), 1);
        format!("{url}?{parameters}")
    }

    fn trusting(&self, authority: &Authority, mode: &str, host: &str) -> String {
        self.url(host, &format!("sslmode={mode}&sslrootcert={}", authority.file().display()))
    }

    /// Opens the inbox and uses it; returns how many connections it had, and how many of them used TLS.
    async fn connections(&self, url: &str, look: &str) -> (i64, i64) {
        let inbox = PostgresInbox::open(&url.into()).await.unwrap_or_else(|error| panic!("{error}"));
        inbox.probe(START).await.unwrap();
        let connection = inbox.create_connection(connection_to("abcde"), START).await.unwrap();
        inbox.heartbeat(std::time::Duration::from_secs(1)).await.unwrap();
        inbox.release_shards().await.unwrap();
        inbox.summary(connection).await.unwrap();
        let sql = "SELECT count(*), count(*) FILTER (WHERE ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
                   WHERE application_name = 'onetribe-relay'";
        let look = PgPool::connect(look).await.unwrap();
        let counted = sqlx::query_as(sql).fetch_one(&look).await.unwrap();
        inbox.close().await;
        counted
    }
}

async fn refused(url: &str) -> String {
    let error = match PostgresInbox::open(&url.into()).await {
        Ok(_) => panic!("it was opened"),
        Err(error) => error,
    };
    assert!(!format!("{error} {error:?}").contains(PASSWORD), "{error:?}");
    assert!(matches!(error, InboxError::Unfit(_)), "{error:?}");
    error.to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_connection_is_encrypted_and_verified_as_far_as_was_asked_for() {
    let Some(place) = Place::new(ONLY_WITH).await else { return };
    let look = place.url(HOST, "sslmode=require");
    for url in [
        place.url(HOST, "sslmode=require"),
        place.url(HOST, "sslmode=prefer"),
        place.url(HOST, ""),
        place.url(ANOTHER_HOST, "sslmode=require"),
        place.trusting(&place.authority, "verify-ca", HOST),
        place.trusting(&place.authority, "verify-ca", ANOTHER_HOST),
        place.trusting(&place.authority, "verify-full", HOST),
    ] {
        let (all, encrypted) = place.connections(&url, &look).await;
        assert!(all >= 4 && encrypted == all, "{encrypted} of {all} connections are encrypted: {url}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_the_one_asked_for_is_refused() {
    let Some(place) = Place::new(ONLY_WITH).await else { return };
    let said = refused(&place.trusting(&place.authority, "verify-full", ANOTHER_HOST)).await;
    assert!(said.contains("certificate is not accepted: it was issued for another name"), "{said}");
    let another = Authority::new();
    for mode in ["verify-ca", "verify-full"] {
        for url in [place.trusting(&another, mode, HOST), place.url(HOST, &format!("sslmode={mode}"))] {
            let said = refused(&url).await;
            assert!(said.contains("certificate is not accepted: it was issued by nobody who is trusted"), "{said}");
        }
    }

    let mut expired = named(HOST);
    (expired.not_before, expired.not_after) = (rcgen::date_time_ymd(2020, 1, 1), rcgen::date_time_ymd(2021, 1, 1));
    speak_tls(&place.cluster, &place.authority.issue(expired), ONLY_WITH);
    let said = refused(&place.trusting(&place.authority, "verify-ca", HOST)).await;
    assert!(said.contains("certificate is not accepted: it has expired"), "{said}");

    // A self-signed certificate as `openssl req -x509` makes it, marked as an authority's.
    let mut itself = named(HOST);
    itself.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    speak_tls(&place.cluster, &place.authority.issue(itself), ONLY_WITH);
    let said = refused(&place.trusting(&place.authority, "verify-ca", HOST)).await;
    assert!(said.contains("marked as an authority's (CA:TRUE)"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn terms_that_relay_and_server_do_not_share_are_told() {
    let Some(place) = Place::new(ONLY_WITH).await else { return };
    for mode in ["disable", "allow"] {
        let said = refused(&place.url(HOST, &format!("sslmode={mode}"))).await;
        assert!(said.contains("lets nobody in this way (pg_hba.conf): check sslmode"), "{said}");
    }
    let wrong = place.url(HOST, "sslmode=require").replacen(PASSWORD, "another", 1);
    let said = refused(&wrong).await;
    assert!(said.contains("refuses the user or its password"), "{said}");

    place.cluster.put("postgresql.auto.conf", "ssl = off\n");
    place.cluster.put("pg_hba.conf", "host all all 127.0.0.1/32 scram-sha-256\n");
    place.cluster.restart();
    let plain = place.url(HOST, "sslmode=disable");
    let (all, encrypted) = place.connections(&place.url(HOST, "sslmode=prefer"), &plain).await;
    assert!(all >= 4 && encrypted == 0, "`prefer` falls back: {encrypted} of {all} are encrypted");
    for url in [place.url(HOST, "sslmode=require"), place.trusting(&place.authority, "verify-full", HOST)] {
        let said = refused(&url).await;
        assert!(said.contains("no TLS with the database server: server does not support TLS"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_come_only_without_encryption_is_let_in_without() {
    let Some(place) = Place::new(ONLY_WITHOUT).await else { return };
    let plain = place.url(HOST, "sslmode=disable");
    assert_eq!(place.connections(&plain, &plain).await.1, 0);
    let said = refused(&place.url(HOST, "sslmode=prefer")).await;
    assert!(said.contains("check sslmode"), "{said}");
}

#[tokio::test]
async fn a_file_that_the_url_names_has_to_be_there_and_hold_certificates() {
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("empty.pem");
    std::fs::write(&empty, "hunter2").unwrap();
    let url = |name: &str, file: &Path| {
        format!("postgres://relay:{PASSWORD}@127.0.0.1:1/relay?sslmode=verify-full&{name}={}", file.display())
    };
    for name in ["sslrootcert", "ssl-ca", "sslcert", "sslkey"] {
        let said = refused(&url(name, &folder.path().join("hunter2.pem"))).await;
        assert!(said.contains(&format!("the file of {name}: No such file")), "{said}");
    }
    for name in ["sslrootcert", "sslcert"] {
        let said = refused(&url(name, &empty)).await;
        assert!(said.contains("there is no certificate in it"), "{said}");
    }
}
