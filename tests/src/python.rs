//! Packages from PyPI that a test needs: installed once, by the host's `python3 -m pip`, into the build directory.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// The directory, with what `requirements` names in it, for `PYTHONPATH`. It is made anew where they have changed; of those
/// who ask at the same time, one installs.
///
/// # Panics
/// There is no `python3` with pip, or a package cannot be had.
#[must_use]
pub fn packages(requirements: &Path, directory: PathBuf) -> PathBuf {
    let installed = directory.join("installed.txt");
    let wanted = fs::read_to_string(requirements).unwrap_or_else(|error| panic!("{}: {error}", requirements.display()));
    let lock = directory.with_extension("lock");
    let locked = fs::create_dir_all(lock.parent().unwrap_or(&lock)).and_then(|()| fs::File::create(&lock));
    let lock = locked.unwrap_or_else(|error| panic!("{}: {error}", lock.display()));
    lock.lock().unwrap_or_else(|error| panic!("the lock of {}: {error}", directory.display()));
    if fs::read_to_string(&installed).is_ok_and(|text| text == wanted) {
        return directory;
    }
    // What is left of another version, or of an installation that broke off.
    let _ = fs::remove_dir_all(&directory);
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target"]);
    let output = pip.arg(&directory).arg("--requirement").arg(requirements).output();
    let output = output.unwrap_or_else(|error| panic!("python3: {error} (install python3 and python3-pip)"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "pip (it needs python3-pip, and PyPI within reach): {errors}");
    fs::write(installed, wanted).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    directory
}
