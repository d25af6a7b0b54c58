//! What can be wrong with a configuration. One line each: where, what, and what would be right.

use std::{io, path::PathBuf};

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file or directory cannot be read.
    #[error("{}: cannot be read: {reason}", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: io::Error,
    },
    /// A file is not what its ending says.
    #[error("{}: {problem}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// The place in it and what is wrong there.
        problem: String,
    },
    /// A file is not written in its language.
    #[error("{}:{error}", path.display())]
    Syntax {
        /// Which.
        path: PathBuf,
        /// The place in it and what is wrong there.
        error: super::hcl::SyntaxError,
    },
    /// A setting, from a file or a flag, makes no sense.
    #[error("{setting}: {problem}")]
    Setting {
        /// Its name, as a flag where it has one.
        setting: std::borrow::Cow<'static, str>,
        /// What is wrong and what would be right.
        problem: String,
    },
}

impl ConfigError {
    pub(super) fn setting(setting: impl Into<std::borrow::Cow<'static, str>>, problem: impl Into<String>) -> Self {
        Self::Setting { setting: setting.into(), problem: problem.into() }
    }
}
