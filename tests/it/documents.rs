//! Compares the documents with the program: the commands, the checks, and the deployment files. Variables are in
//! `variables`.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use onetribe_relay::{config::Config, inbox::Database};

const RELAY: &str = env!("CARGO_BIN_EXE_onetribe-relay");

/// Values for the variables that have to be filled in.
const FILLED_IN: [(&str, &str); 4] = [
    ("BIGCOMMERCE_STORE_HASH", "abcde"),
    ("BIGCOMMERCE_ACCESS_TOKEN", "a-token"),
    ("BIGCOMMERCE_CLIENT_SECRET", "a-client-secret-of-abcde"),
    ("ONE_TRIBE_DESTINATION", "https://example.com/direct/webhook/big-commerce/order/a-token"),
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn accepted(mut vars: BTreeMap<String, String>) -> Config {
    vars.extend(FILLED_IN.map(|(name, value)| (name.to_owned(), value.to_owned())));
    Config::from_vars(vars).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn the_readme_names_both_commands_and_continuous_integration_runs_them() {
    let (readme, ci) = (read("README.md"), read(".ci/run"));
    assert!(readme.contains("\ncargo run --release -p sandbox\n"));
    assert!(readme.contains("\ncargo test --workspace\n"));
    assert!(ci.contains("\ncargo test --workspace --locked\n"));
    assert!(ci.contains("\ncargo run --release -p sandbox -- --orders 200 --exit\n"));
}

#[test]
fn the_readme_names_every_subcommand() {
    let help = Command::new(RELAY).arg("--help").output().expect("the program starts");
    let help = String::from_utf8(help.stdout).expect("UTF-8");
    let commands = help.split_once("Commands:\n").expect("there are commands").1;
    let readme = read("README.md");
    // The further lines of a description are indented more.
    let is_command = |line: &&str| line.strip_prefix("  ").is_some_and(|rest| !rest.starts_with(' '));
    for line in commands.lines().take_while(|line| !line.is_empty()).filter(is_command) {
        let name = line.split_whitespace().next().expect("no line is blank");
        assert!(name == "help" || readme.contains(&format!("`{name}")), "the README does not name `{name}`");
    }
}

#[test]
fn the_readme_says_what_to_do_about_every_check() {
    let folder = tempfile::tempdir().expect("a folder");
    // Nothing listens on port 1 of loopback, so each check fails at once.
    let nobody = "http://127.0.0.1:1";
    let database = format!("sqlite://{}", folder.path().join("relay.db").display());
    let output = Command::new(RELAY)
        .args(["check", "--json"])
        .current_dir(folder.path())
        .env_clear()
        .envs(FILLED_IN)
        .envs([("BIGCOMMERCE_API_URL", nobody), ("ONE_TRIBE_DESTINATION", nobody), ("DATABASE_URL", &database)])
        .output()
        .expect("the program starts");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    let checks: Vec<&str> =
        report["checks"].as_array().expect("a list").iter().filter_map(|check| check["id"].as_str()).collect();
    assert!(!checks.is_empty());

    let readme = read("README.md");
    let section = readme.split_once("## When the check is red").expect("there is such a section").1;
    let section = section.split("\n## ").next().expect("a split has a first part");
    let documented: Vec<&str> =
        section.lines().filter_map(|line| Some(line.strip_prefix("| `")?.split_once('`')?.0)).collect();
    assert_eq!(documented, checks);
}

/// The unquoted value of the first line `key = value` in a TOML file; enough for the flat files in this repository.
fn toml<'a>(text: &'a str, key: &str) -> &'a str {
    let value = text.lines().find_map(|line| line.trim().strip_prefix(key)?.trim_start().strip_prefix('='));
    value.unwrap_or_else(|| panic!("no {key}")).trim().trim_matches('"')
}

fn section<'a>(text: &'a str, name: &str) -> &'a str {
    let (_, rest) = text.split_once(&format!("[{name}]")).unwrap_or_else(|| panic!("no [{name}]"));
    rest.split("\n[").next().expect("a split has a first part")
}

/// The arguments of an instruction that occurs exactly once in the image's last stage.
fn instruction<'a>(dockerfile: &'a str, name: &str) -> &'a str {
    let stage = dockerfile.rsplit("\nFROM ").next().expect("a split has a last part");
    let mut found = stage.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    let arguments = found.next().unwrap_or_else(|| panic!("no {name}"));
    assert_eq!(found.next(), None, "a second {name}");
    arguments
}

#[test]
fn the_image_and_fly_agree_with_the_program() {
    let (dockerfile, fly) = (read("Dockerfile"), read("fly.toml"));
    let defaults = accepted(BTreeMap::new());

    // Ports.
    let port = defaults.settings.port.to_string();
    assert_eq!(instruction(&dockerfile, "EXPOSE"), port);
    assert_eq!(toml(&fly, "internal_port"), port);
    let env = section(&fly, "env");
    assert_eq!(toml(env, "PORT"), port);
    assert_eq!(toml(env, "METRICS_PORT"), toml(section(&fly, "metrics"), "port"));
    assert_eq!(toml(section(&fly, "metrics"), "path"), "/metrics");

    // Health.
    // A relay with a full disk fails its readiness check but still shows a status page that says so; with that check,
    // fly.io would stop sending it requests.
    assert_eq!(toml(section(&fly, "[http_service.checks]"), "path"), "/health/live");
    assert!(
        instruction(&dockerfile, "HEALTHCHECK").ends_with(r#"CMD ["/usr/local/bin/onetribe-relay", "healthcheck"]"#)
    );

    // The database is on the volume, and the settings in fly.toml are valid.
    let url = instruction(&dockerfile, "ENV").strip_prefix("DATABASE_URL=").expect("DATABASE_URL is set");
    assert_eq!(toml(env, "DATABASE_URL"), url);
    let volume = instruction(&dockerfile, "VOLUME");
    assert_eq!(toml(section(&fly, "[mounts]"), "destination"), volume);
    let set = env.lines().filter_map(|line| line.split_once('='));
    let set = accepted(
        set.map(|(name, value)| (name.trim().to_owned(), value.trim().trim_matches('"').to_owned())).collect(),
    );
    let Database::Sqlite(path) = set.settings.database else { panic!("not SQLite") };
    assert_eq!(path.parent(), Some(Path::new(volume)));

    // Backups are written to a folder that the image has for them.
    for command in read("docs/deploy.md").lines().filter(|line| line.contains("backup --to")) {
        assert!(command.contains("backup --to \"/backup/") || command.contains("backup --to /backup/"), "{command}");
    }
    assert!(dockerfile.contains("--chown=65532:65532 /backup /backup\n"));

    // Stopping: the signal that drains, and the time for it: a fetch, a forward, and either a list waiting for its
    // quota or the drain of requests.
    assert_eq!(instruction(&dockerfile, "STOPSIGNAL"), "SIGTERM");
    assert_eq!(toml(&fly, "kill_signal"), "SIGTERM");
    let timeouts = defaults.settings.fetch_timeout + defaults.settings.forward_timeout;
    let kill: u64 = toml(&fly, "kill_timeout").parse().expect("seconds");
    assert!(kill >= timeouts.as_secs() + 25, "{kill} seconds are too few");

    // Never suspended, and never more than one machine.
    assert_eq!(toml(&fly, "auto_stop_machines"), "off");
    assert_eq!(toml(&fly, "min_machines_running"), "1");
    assert_eq!(toml(&fly, "force_https"), "true");
    assert!(read("README.md").contains("fly deploy --ha=false"));
}

#[test]
fn the_image_is_built_from_the_lock_file_and_runs_as_nobody_special() {
    let dockerfile = read("Dockerfile");
    let builds: Vec<&str> = dockerfile.lines().filter(|line| line.contains("cargo build")).collect();
    assert!(!builds.is_empty() && builds.iter().all(|build| build.contains("--locked")), "{builds:?}");
    assert_eq!(instruction(&dockerfile, "ENTRYPOINT"), r#"["/usr/local/bin/onetribe-relay"]"#);
    assert_eq!(instruction(&dockerfile, "USER"), "65532:65532");

    // Every target named in the manifest must exist when the dependencies are built, if only as an empty file.
    let manifest = read("Cargo.toml");
    for bench in manifest.split("[[bench]]").skip(1).map(|bench| toml(bench, "name")) {
        assert!(
            dockerfile.contains(&format!(" benches/{bench}/main.rs ")),
            "the image does not know the bench {bench}"
        );
    }
    for test in manifest.split("[[test]]").skip(1).map(|test| toml(test, "name")) {
        assert!(dockerfile.contains(&format!(" tests/{test}/main.rs ")), "the image does not know the test {test}");
    }

    let version = |text: &str| -> Vec<u32> { text.split('.').filter_map(|part| part.parse().ok()).collect() };
    let image = dockerfile.split_once("FROM rust:").expect("built with the rust image").1.split('-').next();
    assert!(version(image.expect("a split has a first part")) >= version(toml(&manifest, "rust-version")));
}

#[test]
fn a_migration_that_takes_something_away_says_who_is_left_behind() {
    // SQL that both databases share; no older relay can be affected by the first migration.
    const TAKES_AWAY: [&str; 6] = ["DROP ", "RENAME ", "SET NOT NULL", "ADD CONSTRAINT", "UNIQUE INDEX", " TYPE "];
    for folder in ["migrations/sqlite", "migrations/postgres"] {
        let mut files: Vec<PathBuf> =
            fs::read_dir(root().join(folder)).expect("a folder").map(|entry| entry.expect("an entry").path()).collect();
        files.sort();
        for file in &files[1..] {
            let sql = fs::read_to_string(file).expect("UTF-8").to_uppercase();
            let takes_away = TAKES_AWAY.iter().find(|word| sql.contains(*word));
            let says_so = sql.contains("INSERT INTO SCHEMA_FLOOR");
            assert!(takes_away.is_none() || says_so, "{}: {takes_away:?}, and no floor", file.display());
        }
    }
}

/// The modules of `docs/architecture.md`, from the highest layer to the lowest, each with the position of its layer.
fn layers(text: &str) -> BTreeMap<String, usize> {
    let table = text.split_once("| layer | modules |").expect("there is such a table").1;
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    let modules = rows.enumerate().flat_map(|(place, row)| {
        let names = row.split('|').nth(2).unwrap_or_default().split(',');
        names.map(move |name| (name.trim().trim_matches('`').to_owned(), place))
    });
    modules.collect()
}

/// The library's top-level modules that the code names after `crate::` or `onetribe_relay::`.
fn imports(code: &str) -> Vec<String> {
    let code: String =
        code.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n");
    let mut found = Vec::new();
    for rest in code.split("crate::").skip(1).chain(code.split("onetribe_relay::").skip(1)) {
        let (mut depth, mut name) = (0_u32, String::new());
        for c in rest.chars() {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ if c.is_alphanumeric() || c == '_' => name.push(c),
                _ => {}
            }
            // A name ends at the first character that cannot belong to it; only the first part of a path counts.
            let ends = !c.is_alphanumeric() && c != '_';
            if ends && depth <= 1 && !name.is_empty() {
                found.push(std::mem::take(&mut name));
            } else if ends {
                name.clear();
            }
            if depth == 0 && ends {
                break;
            }
        }
    }
    found
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn imports_go_one_way_as_the_architecture_says() {
    let layers = layers(&read("docs/architecture.md"));
    let src = root().join("src");
    let mut files = Vec::new();
    sources(&src, &mut files);
    assert!(files.len() > 20, "only {} sources", files.len());
    for file in files {
        let path = file.strip_prefix(&src).expect("it lies in src").with_extension("");
        let module = path.iter().next().and_then(|name| name.to_str()).expect("UTF-8");
        if module == "lib" {
            continue;
        }
        let place = layers.get(module).unwrap_or_else(|| panic!("docs/architecture.md does not place {module}"));
        let code = fs::read_to_string(&file).expect("a readable source");
        for import in imports(&code) {
            let downwards = import == module || layers.get(&import).is_none_or(|other| other > place);
            assert!(downwards, "{module} imports {import}, which is not below it");
        }
    }
    for module in layers.keys() {
        let file = src.join(module).with_extension("rs");
        assert!(file.is_file(), "docs/architecture.md places {module}, and there is none");
    }
}

/// The paths in a document's links, without external links and without fragments.
fn links(text: &str) -> Vec<String> {
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target);
    let here = targets.filter(|target| !target.contains("://") && !target.starts_with('#') && !target.contains(' '));
    here.map(|target| target.split('#').next().unwrap_or_default().to_owned()).collect()
}

#[test]
fn every_link_to_a_file_leads_to_one() {
    let mut documents = vec![root().join("README.md"), root().join("CONTRIBUTING.md"), root().join("CHANGELOG.md")];
    for folder in ["docs", "docs/decisions"] {
        let entries = fs::read_dir(root().join(folder)).expect("a folder");
        let paths = entries.map(|entry| entry.expect("an entry").path());
        documents.extend(paths.filter(|path| path.extension().is_some_and(|extension| extension == "md")));
    }
    for document in documents {
        let text = fs::read_to_string(&document).expect("a readable document");
        for link in links(&text) {
            let target = document.parent().expect("it lies in a folder").join(&link);
            assert!(target.exists(), "{} links to {link}", document.display());
        }
    }
}

/// The paths of this repository given between backticks in a text.
fn named_paths(text: &str) -> Vec<&str> {
    const ROOTS: [&str; 9] =
        ["src/", "tests/", "sandbox/", "migrations/", "fuzz/", "docs/", "benches/", ".ci/", ".github/"];
    let spans = text.split('`').skip(1).step_by(2);
    spans.filter(|span| ROOTS.iter().any(|root| span.starts_with(root)) && !span.contains([' ', '*'])).collect()
}

#[test]
fn every_file_that_a_document_names_is_there() {
    for document in
        ["CONTRIBUTING.md", "docs/architecture.md", "docs/comparison.md", "docs/releases.md", "docs/testing.md"]
    {
        for path in named_paths(&read(document)) {
            assert!(root().join(path).exists(), "{document} names {path}");
        }
    }
    for walk in ["### A source", "### A destination", "### A check", "### A migration"] {
        let contributing = read("CONTRIBUTING.md");
        let section = contributing.split_once(walk).unwrap_or_else(|| panic!("no {walk}")).1;
        let section = section.split("\n##").next().expect("a split has a first part");
        assert!(named_paths(section).len() >= 5, "{walk} names too few files");
    }
}

#[test]
fn the_index_lists_every_document() {
    let index = links(&read("docs/README.md"));
    for entry in fs::read_dir(root().join("docs")).expect("a folder") {
        let name = entry.expect("an entry").file_name().into_string().expect("UTF-8");
        // Pictures are part of the document that shows them.
        let is_listed = name == "README.md" || name.ends_with(".png") || index.contains(&name);
        assert!(is_listed, "docs/README.md does not list {name}");
    }
}

/// The anchors of a document's headings: `## A webhook of your own` has `a-webhook-of-your-own`.
fn anchors(text: &str) -> Vec<String> {
    let headings = text.lines().filter_map(|line| Some(line.strip_prefix('#')?.trim_start_matches('#').trim()));
    let anchor = |heading: &str| {
        let plain = heading.to_lowercase().replace(' ', "-");
        plain.chars().filter(|c| c.is_alphanumeric() || *c == '-' || *c == '_').collect()
    };
    headings.map(anchor).collect()
}

#[test]
fn every_alert_has_a_runbook() {
    let rules = read("docs/alerts.rules.yml");
    let alerts = rules.lines().filter(|line| line.trim_start().starts_with("- alert:")).count();
    let runbooks: Vec<&str> = rules.lines().filter_map(|line| line.trim().strip_prefix("runbook_url:")).collect();
    assert!(alerts > 5);
    assert_eq!(runbooks.len(), alerts);
    let anchors = anchors(&read("docs/alerts.md"));
    for runbook in runbooks {
        let anchor = runbook.trim_matches(['"', ' ']).rsplit_once('#').expect("it names a heading").1;
        assert!(anchors.iter().any(|heading| heading == anchor), "docs/alerts.md has no heading {anchor}");
    }
}

/// Every name of the relay's metrics in a text.
fn metrics(text: &str) -> Vec<String> {
    let names = text.match_indices("onetribe_relay_").map(|(at, _)| &text[at..]);
    names.map(|rest| rest.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect()).collect()
}

#[test]
fn rules_and_dashboard_name_only_metrics_that_are_documented() {
    let table = read("docs/metrics.md");
    let rows = table.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    let documented: Vec<&str> = rows.map(|(name, _)| name).collect();
    for document in ["docs/alerts.rules.yml", "docs/dashboard.json"] {
        for name in metrics(&read(document)) {
            let family = name.strip_suffix("_bucket").unwrap_or(&name);
            assert!(documented.contains(&family), "{document} names {name}");
        }
    }
}
