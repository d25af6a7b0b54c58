//! The two datacenters of `compose.yaml` in containers, and the tour through them, against the real Docker Engine where
//! one starts containers and Docker Compose is installed: elsewhere the test says so and ends.
//!
//! Nothing is fetched: the image has the binaries under test and the libraries that they are linked with, and nothing else.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test, also where it is not in a test function")]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::{self, Command},
};

use lictor_tests::{binary, containers};
use tempfile::TempDir;

/// The longest that the whole tour may take, in seconds.
const TOUR_LIMIT: &str = "240";
/// The longest that starting or ending all containers may take, in seconds.
const COMPOSE_LIMIT: &str = "120";

/// The project, which ends when dropped.
struct Project {
    root: PathBuf,
    image: String,
}

impl Project {
    /// None where it cannot be tested.
    fn prepared(directory: &Path) -> Option<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap();
        let project = Self { root, image: format!("lictor-tour-{}", process::id()) };
        if let Err(error) = containers::attempt(project.compose().arg("version")) {
            eprintln!("not tested: no Docker Compose: {error}");
            return None;
        }
        image_context(directory);
        let file = project.root.join("examples/multi-dc/Dockerfile");
        let (file, directory) = (file.to_string_lossy(), directory.to_string_lossy());
        let image = project.image.as_str();
        let tried = [
            &["build", "-q", "-t", image, "-f", &file, &directory][..],
            // As compose.yaml wants it: a network of its own, an address in it, a port on loopback, and no rights.
            &["network", "create", "--subnet=10.81.0.0/24", image],
            &["run", "--rm", "--network", image, "--ip=10.81.0.77", "-p=127.0.0.1::8500", image, "version"],
            &["network", "rm", image],
        ];
        let tried =
            tried.iter().try_for_each(|command| containers::attempt(containers::docker().args(*command)).map(drop));
        if let Err(error) = tried {
            eprintln!("not tested: the Docker Engine here starts no containers with networks: {error}");
            // It is there only where a later step failed.
            let _ = containers::attempt(containers::docker().args(["network", "rm", image]));
            return None;
        }
        Some(project)
    }

    fn compose(&self) -> Command {
        self.limited(COMPOSE_LIMIT, "docker-compose")
    }

    fn limited(&self, seconds: &str, program: &str) -> Command {
        let mut command = Command::new("timeout");
        command.args(["--kill-after=5", seconds, program]).current_dir(&self.root);
        command
            .env("COMPOSE_PROJECT_NAME", &self.image)
            .env("LICTOR_IMAGE", &self.image)
            .env("HELLO_IMAGE", &self.image);
        command
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        for command in [
            self.compose().args(["down", "--volumes", "--timeout=2"]),
            containers::docker().args(["rmi", "-f", &self.image]),
        ] {
            if let Err(error) = containers::attempt(command) {
                eprintln!("not removed: {error}");
            }
        }
    }
}

/// The context of the image: the binaries, their libraries where they look for them, and an empty directory.
fn image_context(directory: &Path) {
    let root = directory.join("root");
    fs::create_dir_all(&root).unwrap();
    fs::create_dir_all(directory.join("data")).unwrap();
    let mut libraries = BTreeSet::new();
    for name in ["lictor", "hello", "hello-client"] {
        let binary = binary::path(name);
        fs::copy(&binary, root.join(name)).unwrap();
        let linked = containers::attempt(Command::new("ldd").arg(&binary)).unwrap();
        libraries.extend(linked.split_whitespace().filter(|word| word.starts_with('/')).map(PathBuf::from));
    }
    for library in libraries {
        let place = root.join(library.strip_prefix("/").unwrap());
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::copy(&library, place).unwrap();
    }
}

#[test]
fn the_tour_through_two_datacenters() {
    let directory = TempDir::new().unwrap();
    let Some(project) = Project::prepared(directory.path()) else { return };
    containers::attempt(project.compose().args(["up", "-d", "--no-build"])).unwrap();
    let tour = containers::attempt(&mut project.limited(TOUR_LIMIT, "examples/multi-dc/tour.sh"));
    let tour = tour.unwrap_or_else(|error| {
        let logs = containers::attempt(project.compose().args(["logs", "--tail=15", "--no-color"]));
        panic!("{error}\n{}", logs.unwrap_or_else(|error| error))
    });
    eprintln!("{tour}");
    assert!(tour.contains("All 7 steps passed"), "{tour}");
    let user = containers::docker().args(["inspect", "-f", "{{.Config.User}}", &project.image]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&user.stdout).trim(), "65532:65532");
}
