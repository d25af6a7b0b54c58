//! The tokens that this node shows to others: from its files and, where they are kept, those that were set while it ran
//! (`acl-tokens.json` in the data directory, mode 0600), which come first as in Consul.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{
    acl::{Credential, OwnTokens},
    config::Config,
    private,
};

/// The file.
const FILE: &str = "acl-tokens.json";

/// Why the kept tokens cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{}: {problem} (set the tokens again with `acl set-agent-token`, or remove the file)", path.display())]
pub struct TokensError {
    path: PathBuf,
    problem: String,
}

/// What is kept; an empty text: nothing was set.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Kept {
    default: String,
    agent: String,
    replication: String,
    agent_recovery: String,
    dns: String,
}

/// The tokens of this node.
pub fn load(config: &Config) -> Result<OwnTokens, TokensError> {
    let said = &config.acl.tokens;
    let Some(path) = config.data_dir.as_ref().filter(|_| config.acl.keeps_tokens).map(|dir| dir.join(FILE)) else {
        return Ok(said.clone());
    };
    let failed = |problem: String| TokensError { path: path.clone(), problem };
    let kept: Kept = match fs::read(&path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| failed(error.to_string()))?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Kept::default(),
        Err(error) => return Err(failed(error.to_string())),
    };
    let set = |kept: &str, said: &Credential| Credential::new(kept).or(said);
    Ok(OwnTokens {
        default: set(&kept.default, &said.default),
        agent: set(&kept.agent, &said.agent),
        replication: set(&kept.replication, &said.replication),
        recovery: set(&kept.agent_recovery, &said.recovery),
        dns: set(&kept.dns, &said.dns),
    })
}

/// Keeps them.
///
/// # Errors
/// When the file cannot be written; the old one is as it was.
pub fn keep(data_dir: &Path, tokens: &OwnTokens) -> io::Result<()> {
    let text = |credential: &Credential| credential.expose().to_owned();
    let kept = Kept {
        default: text(&tokens.default),
        agent: text(&tokens.agent),
        replication: text(&tokens.replication),
        agent_recovery: text(&tokens.recovery),
        dns: text(&tokens.dns),
    };
    let (path, new) = (data_dir.join(FILE), data_dir.join(format!("{FILE}.new")));
    // A sidecar that has nothing to keep yet has not made it.
    private::create_directory(data_dir)?;
    let mut file = private::create(&new)?;
    file.write_all(&serde_json::to_vec(&kept)?)?;
    file.sync_all()?;
    fs::rename(new, path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_was_set_is_found_again_and_is_nobody_elses() {
        let above = tempfile::tempdir().unwrap();
        let dir = above.path().join("not there yet");
        let tokens = OwnTokens { agent: Credential::new("secret"), ..OwnTokens::default() };
        keep(&dir, &tokens).unwrap();
        let path = dir.join(FILE);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let kept: Kept = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
        assert_eq!((kept.agent.as_str(), kept.default.as_str()), ("secret", ""));
    }
}
