//! The deployments shown in the documents: Kubernetes, systemd and Compose. Each is parsed as its tool would parse it,
//! and compared with the program.

use std::collections::{BTreeMap, BTreeSet};

use onetribe_relay::config::VARIABLES;
use saphyr::{LoadableYamlNode, Yaml};
use serde_json::{Map, Value};

/// How long the relay may take to stop (docs/deploy.md).
const DRAIN_SECONDS: i64 = 60;

fn read(path: &str) -> String {
    let path = std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The first code block in this language in a section of a document.
fn block(section: &str, language: &str) -> String {
    let document = read("docs/deploy.md");
    let rest = document.split_once(&format!("### {section}\n")).unwrap_or_else(|| panic!("no section {section}")).1;
    let code = rest.split_once(&format!("```{language}\n")).expect("the section has such a block").1;
    code.split_once("```").expect("the block ends").0.to_owned()
}

/// The same as JSON. All keys are strings, as in every file read here.
fn json(yaml: &Yaml) -> Value {
    if let Some(map) = yaml.as_mapping() {
        let entries = map.iter().map(|(key, value)| (key.as_str().expect("keys are texts").to_owned(), json(value)));
        return Value::Object(entries.collect::<Map<_, _>>());
    }
    if let Some(list) = yaml.as_vec() {
        return Value::Array(list.iter().map(json).collect());
    }
    let whole = || yaml.as_integer().map(Value::from);
    let truth = || yaml.as_bool().map(Value::from);
    yaml.as_str().map(Value::from).or_else(whole).or_else(truth).unwrap_or_default()
}

fn documents(yaml: &str) -> Vec<Value> {
    Yaml::load_from_str(yaml).unwrap().iter().map(json).collect()
}

/// Collects the violations of a schema in the published form; fields that the schema does not have are violations too.
fn faults(value: &Value, schema: &Value, definitions: &Value, at: &str, found: &mut Vec<String>) {
    if let Some(name) = schema["$ref"].as_str() {
        let name = name.strip_prefix("#/definitions/").unwrap();
        let target = &definitions[name];
        assert!(target.is_object(), "the fixture has no {name}");
        return faults(value, target, definitions, at, found);
    }
    if schema["x-kubernetes-int-or-string"] == true {
        if !value.is_i64() && !value.is_string() {
            found.push(format!("{at}: neither a number nor a text"));
        }
        return;
    }
    let is_right = match schema["type"].as_str().unwrap() {
        "string" => value.is_string(),
        "integer" => value.is_i64(),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("the fixture has the type {other}"),
    };
    if !is_right {
        found.push(format!("{at}: {value} is no {}", schema["type"]));
        return;
    }
    for (index, item) in value.as_array().into_iter().flatten().enumerate() {
        faults(item, &schema["items"], definitions, &format!("{at}[{index}]"), found);
    }
    for (key, item) in value.as_object().into_iter().flatten() {
        let at = format!("{at}.{key}");
        match schema["properties"].get(key).or(schema.get("additionalProperties")) {
            Some(field) => faults(item, field, definitions, &at, found),
            None => found.push(format!("{at}: there is no such field")),
        }
    }
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if value.get(name).is_none() {
            found.push(format!("{at}: {name} is missing"));
        }
    }
}

fn faults_of_manifest(manifest: &Value) -> Vec<String> {
    let schemas: Value = serde_json::from_str(include_str!("deploy/kubernetes.json")).unwrap();
    let (version, kind) = (manifest["apiVersion"].as_str().unwrap(), manifest["kind"].as_str().unwrap());
    let group = if version == "v1" { "core.v1".to_owned() } else { version.replace('/', ".") };
    let schema = &schemas["definitions"][format!("io.k8s.api.{group}.{kind}")];
    assert!(schema.is_object(), "{version} has no {kind}");
    let mut found = Vec::new();
    faults(manifest, schema, &schemas["definitions"], kind, &mut found);
    found
}

fn of_kind(manifests: &[Value], kind: &str) -> Value {
    let found = manifests.iter().find(|manifest| manifest["kind"] == kind);
    found.unwrap_or_else(|| panic!("no {kind}")).clone()
}

#[test]
fn the_kubernetes_example_has_no_field_that_kubernetes_does_not_know() {
    let manifests = documents(&block("On Kubernetes", "yaml"));
    let kinds: BTreeSet<&str> = manifests.iter().filter_map(|manifest| manifest["kind"].as_str()).collect();
    assert_eq!(kinds, BTreeSet::from(["Deployment", "PodDisruptionBudget", "Secret", "Service"]));
    for manifest in &manifests {
        assert_eq!(faults_of_manifest(manifest), Vec::<String>::new());
    }
}

/// The check finds misspelt and misplaced fields, wrong types and missing fields.
#[test]
fn a_wrong_field_in_the_kubernetes_example_would_be_noticed() {
    let example = block("On Kubernetes", "yaml");
    for (right, wrong, fault) in [
        ("terminationGracePeriodSeconds", "terminationGracePeriod", "no such field"),
        ("readinessProbe:\n", "readynessProbe:\n", "no such field"),
        ("  replicas: 2\n", "  strategy2:\n    replicas: 2\n", "no such field"),
        ("replicas: 2", "replicas: \"2\"", "is no"),
        ("runAsNonRoot: true", "runAsNonRoot: yes please", "is no"),
        ("httpGet: {path: /health/live, port: http}", "httpGet: {path: /health/live}", "port is missing"),
        ("minAvailable: 1", "minimumAvailable: 1", "no such field"),
        ("targetPort: http", "targetport: http", "no such field"),
        ("secretName: onetribe-relay", "name: onetribe-relay", "no such field"),
        ("maxUnavailable: 0", "maxUnavailable: [0]", "neither a number nor a text"),
    ] {
        assert!(example.contains(right), "the example has no {right}");
        let found: Vec<String> =
            documents(&example.replacen(right, wrong, 1)).iter().flat_map(faults_of_manifest).collect();
        assert!(found.iter().any(|found| found.contains(fault)), "{wrong}: {found:?}");
    }
}

#[test]
fn the_kubernetes_example_agrees_with_itself_and_with_the_program() {
    let manifests = documents(&block("On Kubernetes", "yaml"));
    let deployment = of_kind(&manifests, "Deployment");
    let (spec, template) = (&deployment["spec"], &deployment["spec"]["template"]);
    let (pod, container) = (&template["spec"], &template["spec"]["containers"][0]);

    // Every selector of pods selects these.
    let labels = &template["metadata"]["labels"];
    assert_eq!(&spec["selector"]["matchLabels"], labels);
    assert_eq!(&of_kind(&manifests, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"], labels);
    assert_eq!(&pod["topologySpreadConstraints"][0]["labelSelector"]["matchLabels"], labels);
    let service = of_kind(&manifests, "Service");
    assert_eq!(&service["spec"]["selector"], labels);

    // During a deploy or a drain of a node, one pod still receives webhooks.
    assert!(spec["replicas"].as_i64() >= Some(2));
    assert_eq!(spec["strategy"]["rollingUpdate"]["maxUnavailable"], 0);
    assert_eq!(of_kind(&manifests, "PodDisruptionBudget")["spec"]["minAvailable"], 1);

    // Ports and probes.
    let ports: BTreeMap<&str, i64> = container["ports"]
        .as_array()
        .unwrap()
        .iter()
        .map(|port| (port["name"].as_str().unwrap(), port["containerPort"].as_i64().unwrap()))
        .collect();
    assert_eq!(ports.get("http"), Some(&8080));
    assert!(ports.contains_key(service["spec"]["ports"][0]["targetPort"].as_str().unwrap()));
    for (probe, path) in
        [("startupProbe", "/health/live"), ("readinessProbe", "/health/ready"), ("livenessProbe", "/health/live")]
    {
        assert_eq!(container[probe]["httpGet"]["path"], path);
        assert!(ports.contains_key(container[probe]["httpGet"]["port"].as_str().unwrap()), "{probe}");
    }

    // The drain must end before the pod is killed.
    let pause = container["lifecycle"]["preStop"]["sleep"]["seconds"].as_i64().unwrap();
    assert!(pod["terminationGracePeriodSeconds"].as_i64().unwrap() >= pause + DRAIN_SECONDS);

    // Every variable exists, and the secret ones come from files of the mounted secret.
    let secret = of_kind(&manifests, "Secret");
    assert_eq!(pod["volumes"][0]["secret"]["secretName"], secret["metadata"]["name"]);
    let mount = container["volumeMounts"][0]["mountPath"].as_str().unwrap();
    let mut files = BTreeSet::new();
    for variable in container["env"].as_array().unwrap() {
        let (name, value) = (variable["name"].as_str().unwrap(), variable["value"].as_str().unwrap());
        let known = VARIABLES.iter().find(|known| name.strip_suffix("_FILE").unwrap_or(name) == known.name);
        let known = known.unwrap_or_else(|| panic!("the program does not know {name}"));
        match name.strip_suffix("_FILE") {
            Some(_) => {
                assert!(known.file.is_some(), "{name}: only secrets come from files");
                files.insert(value.strip_prefix(&format!("{mount}/")).expect("in the mounted folder").to_owned());
            }
            None => assert!(known.file.is_none() || value.is_empty(), "{name} is a secret and stands in the manifest"),
        }
    }
    let keys: BTreeSet<String> = secret["stringData"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(files, keys);
    assert!(secret["stringData"]["database_url"].as_str().unwrap().starts_with("postgres://"));
    let metrics = container["env"].as_array().unwrap().iter().find(|one| one["name"] == "METRICS_PORT").unwrap();
    assert_eq!(metrics["value"].as_str().unwrap(), ports["metrics"].to_string());
}

/// The settings of the systemd unit: section, name, value.
fn unit() -> Vec<(String, String, String)> {
    let text = block("As a systemd service", "ini");
    let mut section = String::new();
    let mut found = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']').to_owned();
        } else {
            let (name, value) = line.split_once('=').unwrap_or_else(|| panic!("{line}"));
            found.push((section.clone(), name.to_owned(), value.to_owned()));
        }
    }
    found
}

#[test]
fn the_systemd_unit_gives_every_secret_as_a_credential_and_time_to_drain() {
    let unit = unit();
    let of = |name: &str| -> Vec<&str> {
        unit.iter().filter(|(section, key, _)| section == "Service" && key == name).map(|(_, _, v)| &**v).collect()
    };
    let credentials: BTreeSet<&str> = of("LoadCredential").iter().map(|one| one.split_once(':').unwrap().0).collect();
    let mut used = BTreeSet::new();
    for (name, value) in
        of("Environment").iter().flat_map(|line| line.split(' ')).map(|one| one.split_once('=').unwrap())
    {
        let known = VARIABLES.iter().find(|known| name.strip_suffix("_FILE").unwrap_or(name) == known.name);
        let known = known.unwrap_or_else(|| panic!("the program does not know {name}"));
        if name.ends_with("_FILE") {
            assert!(known.file.is_some(), "{name}");
            used.insert(value.strip_prefix("%d/").expect("in the credentials' directory"));
        } else {
            assert!(known.file.is_none() || value.starts_with("sqlite:"), "{name} is a secret and stands in the unit");
        }
    }
    assert_eq!(credentials, used);
    assert_eq!(of("KillSignal"), ["SIGTERM"]);
    assert!(of("TimeoutStopSec")[0].parse::<i64>().unwrap() >= DRAIN_SECONDS);
    for (name, value) in [
        ("DynamicUser", "yes"),
        ("NoNewPrivileges", "yes"),
        ("CapabilityBoundingSet", ""),
        ("ProtectSystem", "strict"),
        ("ProtectHome", "yes"),
        ("PrivateTmp", "yes"),
        ("PrivateDevices", "yes"),
        ("MemoryDenyWriteExecute", "yes"),
        ("RestrictNamespaces", "yes"),
    ] {
        assert_eq!(of(name), [value], "{name}");
    }
}

/// Where systemd is installed, let it check the unit too.
#[test]
fn systemd_takes_the_unit() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("onetribe-relay.service");
    let text = block("As a systemd service", "ini")
        .replace("/usr/local/bin/onetribe-relay", env!("CARGO_BIN_EXE_onetribe-relay"));
    std::fs::write(&file, text).unwrap();
    let verified = std::process::Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&file).output();
    let Ok(verified) = verified else {
        eprintln!("skipped: systemd-analyze is not installed");
        return;
    };
    let said = String::from_utf8_lossy(&verified.stderr);
    let ours: Vec<&str> = said.lines().filter(|line| line.contains("onetribe-relay.service")).collect();
    assert!(ours.is_empty(), "{ours:?}");
}

#[test]
fn compose_runs_two_alike_relays_that_may_drain_and_shows_pages_on_a_full_disk() {
    let compose = &documents(&read("compose.yaml"))[0];
    let service = |name: &str| {
        let mut own = compose["services"][name].as_object().unwrap().clone();
        let shared = own.remove("<<").unwrap();
        let (build, pull) = (own.remove("build"), own.remove("pull_policy"));
        assert!(own.is_empty(), "{own:?}");
        (shared, build, pull)
    };
    let ((first, build, pull), (second, other_build, other_pull)) = (service("relay-1"), service("relay-2"));
    assert_eq!(first, second);
    // One builds the image, and the other takes it.
    assert_eq!((build, other_build), (Some(serde_json::json!(".")), None));
    assert_eq!((pull, other_pull), (None, Some(serde_json::json!("never"))));
    assert_eq!(first["image"], "onetribe-relay");
    assert_eq!(first["healthcheck"]["test"], serde_json::json!(["CMD", "onetribe-relay", "healthcheck"]));
    assert!(
        first["stop_grace_period"].as_str().unwrap().trim_end_matches('s').parse::<i64>().unwrap() >= DRAIN_SECONDS
    );
    for name in first["environment"].as_object().unwrap().keys() {
        assert!(VARIABLES.iter().any(|known| known.name == name), "the program does not know {name}");
    }
    let proxy = compose["configs"]["caddyfile"]["content"].as_str().unwrap();
    let webhooks = proxy.split_once("handle /webhooks/*").unwrap().1.split("handle ").next().unwrap();
    assert!(webhooks.contains("health_uri /health/ready"), "{webhooks}");
    let pages = proxy.rsplit("handle {").next().unwrap();
    assert!(pages.contains("health_uri /health/live") && !pages.contains("/health/ready"), "{pages}");
}

#[test]
fn the_image_and_the_package_say_where_they_come_from() {
    let dockerfile = read("Dockerfile");
    for label in ["title", "description", "licenses", "source", "revision", "version", "documentation"] {
        assert!(dockerfile.contains(&format!("org.opencontainers.image.{label}=")), "{label}");
    }
    let manifest = read("Cargo.toml");
    let repository = manifest.lines().find_map(|line| line.strip_prefix("repository = ")).expect("a repository");
    assert!(dockerfile.contains(&format!("org.opencontainers.image.source={repository}")), "{repository}");
    assert!(read("docs/deploy.md").contains("fly secrets import"));
}

/// Each secret variable has a variant that names a file, and the README marks it.
#[test]
fn every_secret_variable_may_come_from_a_file() {
    let secrets: Vec<_> = VARIABLES.iter().filter(|variable| variable.file.is_some()).collect();
    assert!(secrets.len() >= 9, "{}", secrets.len());
    let readme = read("README.md");
    for variable in VARIABLES {
        let marked = readme.lines().any(|line| line.starts_with(&format!("| `{}` 🔒 |", variable.name)));
        assert_eq!(marked, variable.file.is_some(), "{}", variable.name);
    }
    assert!(readme.contains("_FILE"));
}
