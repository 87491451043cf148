//! PostgreSQL for tests: a temporary cluster run with this machine's programs, or the server in `TEST_DATABASE_URL`. If
//! there is neither, tests print that they are skipped; with `CI=true` they fail instead.

use std::{
    fs,
    os::unix::{
        fs::{MetadataExt, PermissionsExt, chown},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::OnceLock,
};

use sqlx::{Connection, PgConnection, PgPool};
use url::Url;

use crate::relay::free_port;

/// A cluster with its own folder and port, stopped and removed when it is dropped or the process ends.
pub struct Cluster {
    programs: PathBuf,
    folder: PathBuf,
    account: Option<(u32, u32)>,
    port: u16,
    /// Waits until its standard input is closed, which happens when this process ends, however it ends, and then
    /// removes the cluster.
    keeper: Child,
}

impl Cluster {
    /// Starts a cluster, if this machine has the programs. It syncs to disk as a production server does.
    pub fn start() -> Option<Self> {
        let programs = programs()?;
        let folder = tempfile::Builder::new().prefix("pg").tempdir().expect("a temporary folder").keep();
        let account = unprivileged(&folder);
        if let Some((uid, gid)) = account {
            chown(&folder, Some(uid), Some(gid)).expect("root may give folders away");
        }
        let port = free_port().expect("a free port");
        // The keeper ignores these signals, since one sent to the whole process group must not end it before its work
        // is done.
        let stop = r#"trap '' HUP INT TERM; read -r _; "$0/pg_ctl" -D "$1/data" -m immediate stop >/dev/null 2>&1; rm -rf "$1""#;
        let mut keeper = command(account, Path::new("sh"), &folder);
        keeper.args(["-c", stop]).arg(&programs).arg(&folder).stdin(Stdio::piped());
        let keeper = keeper.spawn().expect("a shell");
        let cluster = Self { programs, folder, account, port, keeper };
        cluster.run("initdb", &["-D", "data", "-U", "relay", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]);
        cluster.up();
        Some(cluster)
    }

    fn run(&self, program: &str, arguments: &[&str]) {
        let mut command = command(self.account, &self.programs.join(program), &self.folder);
        let done = command.args(arguments).output().expect("the program was found");
        let said = String::from_utf8_lossy(&done.stderr);
        let log = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        assert!(done.status.success(), "{program}: {said}\n{log}");
    }

    /// Starts the server and waits until it answers.
    pub fn up(&self) {
        let options = format!(
            "-p {} -k '{}' -c listen_addresses=127.0.0.1 -c fsync=on -c max_connections=200",
            self.port,
            self.folder.display()
        );
        self.run("pg_ctl", &["-D", "data", "-l", "log", "-o", &options, "-w", "start"]);
    }

    /// Stops the server abruptly, as a crash would.
    pub fn crash(&self) {
        self.run("pg_ctl", &["-D", "data", "-m", "immediate", "-w", "stop"]);
    }

    /// Sends a signal to the server and all its processes.
    pub fn signal(&self, name: &str) {
        let file = fs::read_to_string(self.folder.join("data/postmaster.pid")).expect("the server runs");
        let server = file.lines().next().expect("its first line is the process");
        let of_server = |process: &Path| {
            let stat = fs::read_to_string(process.join("stat")).unwrap_or_default();
            stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1)) == Some(server)
        };
        let processes = fs::read_dir("/proc").expect("this is Linux").flatten().map(|entry| entry.path());
        let children = processes.filter(|process| of_server(process));
        let ids = children.filter_map(|process| Some(process.file_name()?.to_str()?.to_owned()));
        let kill = || {
            let mut kill = Command::new("kill");
            kill.arg(format!("-{name}"));
            kill
        };
        assert!(kill().arg(server).status().expect("there is a `kill`").success());
        // A process that served a single connection may have ended meanwhile.
        drop(kill().args(ids).stderr(Stdio::null()).status());
    }

    /// Stops the server in order and starts it again, as some settings require to take effect.
    pub fn restart(&self) {
        self.run("pg_ctl", &["-D", "data", "-m", "fast", "-w", "stop"]);
        self.up();
    }

    /// Writes a file into the data folder, readable only by the server.
    pub fn put(&self, name: &str, text: &str) {
        let path = self.folder.join("data").join(name);
        fs::write(&path, text).expect("the folder is ours");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("the file is ours");
        if let Some((uid, gid)) = self.account {
            chown(&path, Some(uid), Some(gid)).expect("root may give files away");
        }
    }

    fn url(&self, database: &str) -> String {
        format!("postgres://relay@127.0.0.1:{}/{database}", self.port)
    }

    /// A fresh database on this cluster.
    pub async fn database(&self) -> Database {
        Database::create(&self.url("postgres"), false).await
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        drop(self.keeper.wait());
    }
}

/// A database for a single test.
pub struct Database {
    server: String,
    name: String,
    /// Whether it is on the server in `TEST_DATABASE_URL`, where it has to be dropped at the end.
    borrowed: bool,
}

impl Database {
    async fn create(server: &str, borrowed: bool) -> Self {
        let name = format!("relay_test_{:016x}", rand::random::<u64>());
        let mut connection = PgConnection::connect(server).await.expect("the test server answers");
        let sql = sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"));
        sqlx::query(sql).execute(&mut connection).await.expect("the user may create databases");
        Self { server: server.to_owned(), name, borrowed }
    }

    /// A new database on the server that all tests share. Prints a message and returns `None` if there is no server.
    pub async fn fresh() -> Option<Self> {
        static SHARED: OnceLock<Option<Cluster>> = OnceLock::new();
        match std::env::var("TEST_DATABASE_URL") {
            Ok(server) => Some(Self::create(&server, true).await),
            Err(_) => match SHARED.get_or_init(Cluster::start) {
                Some(cluster) => Some(cluster.database().await),
                None => skip(),
            },
        }
    }

    /// The database's URL.
    pub fn url(&self) -> String {
        let mut url = Url::parse(&self.server).expect("it was connected to");
        url.set_path(&self.name);
        url.into()
    }

    /// Connections with which a test inspects it, or ends the connections of others.
    pub async fn look(&self) -> PgPool {
        PgPool::connect(&self.url()).await.expect("the database was just made")
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if !self.borrowed {
            return;
        }
        let (server, name) = (self.server.clone(), self.name.clone());
        let removed = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
            runtime.block_on(async {
                let mut connection = PgConnection::connect(&server).await.ok()?;
                let sql = sqlx::AssertSqlSafe(format!("DROP DATABASE {name} WITH (FORCE)"));
                sqlx::query(sql).execute(&mut connection).await.ok()
            })
        });
        // A test database that is left behind does no harm.
        drop(removed.join());
    }
}

/// Waits until the relays' connections to a database have ended: only then are its statistics final.
pub async fn ended(look: &PgPool) {
    let sql = "SELECT count(*) FROM pg_stat_activity
               WHERE datname = current_database() AND application_name = 'onetribe-relay'";
    while sqlx::query_scalar::<_, i64>(sql).fetch_one(look).await.expect("the server answers") > 0 {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

/// How many deadlocks the server has broken in a database whose relays are about to end.
pub async fn deadlocks(look: &PgPool) -> i64 {
    ended(look).await;
    let sql = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
    sqlx::query_scalar(sql).fetch_one(look).await.expect("the server answers")
}

/// Prints that there is no server; with `CI=true`, panics.
pub fn skip<T>() -> Option<T> {
    let said = "PostgreSQL is not tested: there is neither TEST_DATABASE_URL nor `initdb` and `pg_ctl`";
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{said}");
    eprintln!("skipped: {said}");
    None
}

/// The folder of `initdb` and `pg_ctl`: in the search path, or where distributions install them.
fn programs() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let installed = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut hidden: Vec<PathBuf> = installed.map(|version| version.path().join("bin")).collect();
    hidden.sort();
    let whole = |folder: &PathBuf| ["initdb", "pg_ctl"].iter().all(|program| folder.join(program).is_file());
    let found = std::env::split_paths(&path).chain(hidden.into_iter().rev()).find(whole)?;
    // The search path may hold a symbolic link: the server itself lies beside the program it points to.
    fs::canonicalize(found.join("initdb")).ok()?.parent().map(Path::to_owned)
}

/// The ids of a user with fewer rights if this process runs as root, since the server refuses to run as root.
fn unprivileged(folder: &Path) -> Option<(u32, u32)> {
    if fs::metadata(folder).ok()?.uid() != 0 {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let ids = |name: &str| {
        let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut ids = line.split(':').skip(2).map(str::parse);
        Some((ids.next()?.ok()?, ids.next()?.ok()?))
    };
    ids("postgres").or_else(|| ids("nobody"))
}

fn command(account: Option<(u32, u32)>, program: &Path, folder: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(folder).stdin(Stdio::null()).stdout(Stdio::null());
    if let Some((uid, gid)) = account {
        command.uid(uid).gid(gid);
    }
    command
}
