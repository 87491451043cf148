//! What runs on the public forge: its workflows, checked against the files and versions they name, and release notes.

use std::{collections::BTreeSet, fs, path::PathBuf, process::Command};

use saphyr::{LoadableYamlNode, Yaml};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

const CI: &str = ".github/workflows/ci.yml";
const RELEASE: &str = ".github/workflows/release.yml";

/// One step of a job, reduced to what the tests check.
struct Step {
    uses: Option<String>,
    run: Option<String>,
}

struct Job {
    name: String,
    needs: Vec<String>,
    steps: Vec<Step>,
}

fn text(node: &Yaml<'_>) -> Option<String> {
    node.as_str().map(str::to_owned)
}

/// The jobs of a workflow; the file must be a single document of valid YAML.
fn jobs(path: &str) -> Vec<Job> {
    let source = read(path);
    let documents = Yaml::load_from_str(&source).unwrap_or_else(|error| panic!("{path}: {error}"));
    assert_eq!(documents.len(), 1, "{path}");
    let jobs =
        documents[0].as_mapping_get("jobs").and_then(Yaml::as_mapping).unwrap_or_else(|| panic!("{path}: no jobs"));
    let job = |(name, job): (&Yaml<'_>, &Yaml<'_>)| {
        let needs = match job.as_mapping_get("needs") {
            None => Vec::new(),
            Some(one) => text(one).map_or_else(
                || one.as_vec().expect("a name or a list of names").iter().filter_map(text).collect(),
                |name| vec![name],
            ),
        };
        let steps = job.as_mapping_get("steps").and_then(Yaml::as_vec).expect("a job has steps");
        let get = |step: &Yaml<'_>, key: &str| step.as_mapping_get(key).and_then(text);
        let steps = steps.iter().map(|step| Step { uses: get(step, "uses"), run: get(step, "run") }).collect();
        Job { name: text(name).expect("a name"), needs, steps }
    };
    jobs.iter().map(job).collect()
}

#[test]
fn the_workflows_run_what_continuous_integration_runs_and_name_what_exists() {
    for path in [CI, RELEASE] {
        let jobs = jobs(path);
        let names: BTreeSet<&String> = jobs.iter().map(|job| &job.name).collect();
        let runs: Vec<&String> = jobs.iter().flat_map(|job| &job.steps).filter_map(|step| step.run.as_ref()).collect();
        assert!(runs.iter().any(|run| run.as_str() == ".ci/run"), "{path} does not call .ci/run");
        for job in &jobs {
            assert!(job.needs.iter().all(|need| names.contains(need)), "{path}: {} needs {:?}", job.name, job.needs);
        }
        for word in runs.iter().flat_map(|run| run.split_whitespace()).filter(|word| word.starts_with(".ci/")) {
            assert!(root().join(word).is_file(), "{path} runs {word}");
        }
    }
    // Files that are packed with a binary.
    for file in ["README.md", "CHANGELOG.md", "LICENSE-MIT", "LICENSE-APACHE", ".env.example"] {
        assert!(read(RELEASE).contains(&format!(" {file} ")), "a binary comes without {file}");
        assert!(root().join(file).is_file());
    }
}

#[test]
fn every_action_is_pinned_to_a_version() {
    for path in [CI, RELEASE] {
        for uses in jobs(path).into_iter().flat_map(|job| job.steps).filter_map(|step| step.uses) {
            let version = uses.split_once("@v").unwrap_or_else(|| panic!("{path}: {uses}")).1;
            let numbers = version.split('.').filter(|part| part.parse::<u32>().is_ok()).count();
            assert_eq!(numbers, 3, "{path}: {uses} is not a whole version");
        }
    }
}

#[test]
fn the_dependencies_are_looked_at_for_every_architecture_that_is_released() {
    let (release, deny) = (read(RELEASE), read("deny.toml"));
    let targets: BTreeSet<&str> = release
        .split(|c: char| !c.is_alphanumeric() && !"_-".contains(c))
        .filter(|word| word.ends_with("-linux-musl"))
        .collect();
    let built: Vec<&&str> = targets.iter().filter(|target| target.matches('-').count() == 3).collect();
    assert_eq!(built.len(), 2, "{targets:?}");
    for target in built {
        assert!(deny.contains(&format!("\"{target}\"")), "deny.toml does not know {target}");
    }
}

#[test]
fn the_notes_of_a_release_are_its_part_of_the_changelog() {
    let folder = tempfile::tempdir().expect("a folder");
    let changelog = "# Changelog\n\n## [Unreleased]\n\n- Later.\n\n## [1.2.0] - 2027-01-02\n\n### Added\n\n- This.\n\n## [1.1.0] - 2026-12-01\n\n- That.\n\n## [1.0.0] - 2026-11-30\n";
    fs::write(folder.path().join("CHANGELOG.md"), changelog).expect("a file");
    let notes = |version: &str| {
        let output = Command::new(root().join(".ci/notes")).arg(version).current_dir(folder.path()).output();
        let output = output.expect("bash is there");
        output.status.success().then(|| String::from_utf8(output.stdout).expect("UTF-8").trim().to_owned())
    };
    assert_eq!(notes("1.2.0").as_deref(), Some("### Added\n\n- This."));
    assert_eq!(notes("1.1.0").as_deref(), Some("- That."));
    // An empty entry, an unknown version, and a version that only starts with the same characters.
    assert_eq!((notes("1.0.0"), notes("2.0.0"), notes("1.2")), (None, None, None));
}
