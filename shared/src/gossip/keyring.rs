//! The keys of a pool: the first one seals, every one opens. Held in memory, and in a file where there is one.
//!
//! A key is changed without a gap in three steps: install the new one at every member, then use it, then remove the
//! old one (`key_rounds` refuses a step that not every member is ready for). The file is a JSON list of keys in
//! base64, the first one first, mode 0600; it counts more than the configured key, which may be older than a rotation.
//! Nothing here ever prints a key into a log. What is done with keys is in `envelope`.

use std::{
    fmt,
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use arc_swap::ArcSwap;
use base64::{Engine, engine::general_purpose::STANDARD};
use ring::{
    aead::{AES_128_GCM, AES_256_GCM, LessSafeKey, UnboundKey},
    rand::{SecureRandom, SystemRandom},
};

use super::limits::MAX_KEYS;
use crate::private;

/// Bytes of a key that [`GossipKey::generate`] makes: AES-256.
const NEW_KEY_BYTES: usize = 32;

/// A key of AES-GCM: 16 bytes (AES-128) or 32 (AES-256).
#[derive(Clone, PartialEq, Eq)]
pub struct GossipKey(Vec<u8>);

/// Why a text is no key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not base64.
    #[error("it is not base64 (make one with `lictor keygen`)")]
    Encoding,
    /// Another length. Consul also takes 24 bytes; AES-192 is not offered here.
    #[error("it has {0} bytes, not 16 or 32 (make one with `lictor keygen`)")]
    Length(usize),
    /// The system gives no random bytes.
    #[error("the system gives no random bytes")]
    Random,
}

impl GossipKey {
    /// A new random key of 32 bytes.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub fn generate() -> Result<Self, KeyError> {
        let mut bytes = vec![0; NEW_KEY_BYTES];
        SystemRandom::new().fill(&mut bytes).map_err(|_| KeyError::Random)?;
        Ok(Self(bytes))
    }

    /// Reads a key in base64.
    ///
    /// # Errors
    /// When it is not base64 or has another length than 16 or 32 bytes.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let bytes = STANDARD.decode(text.trim()).map_err(|_| KeyError::Encoding)?;
        match bytes.len() {
            16 | 32 => Ok(Self(bytes)),
            length => Err(KeyError::Length(length)),
        }
    }

    /// The secret itself, in base64. Not for logs.
    #[must_use]
    pub fn reveal(&self) -> String {
        STANDARD.encode(&self.0)
    }

    fn cipher(&self) -> Option<LessSafeKey> {
        let algorithm = if self.0.len() == 16 { &AES_128_GCM } else { &AES_256_GCM };
        // Both lengths are right by `parse` and `generate`.
        Some(LessSafeKey::new(UnboundKey::new(algorithm, &self.0).ok()?))
    }
}

impl fmt::Debug for GossipKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "GossipKey({} bytes)", self.0.len())
    }
}

/// Why a keyring is not opened or not changed.
#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
    /// The pool is not encrypted.
    #[error("Keyring is empty (encryption not enabled)")]
    Empty,
    /// Not a key.
    #[error("the key is not one: {0}")]
    Key(#[from] KeyError),
    /// It cannot be used before it is installed.
    #[error("requested key is not in the keyring")]
    Absent,
    /// Nothing could be sealed without it.
    #[error("removing the primary key is not allowed")]
    Primary,
    /// Every packet that does not open is tried with each key.
    #[error("the keyring has {MAX_KEYS} keys already; remove one that is not used any more")]
    Full,
    /// The file.
    #[error("{}: {reason}", path.display())]
    File {
        /// Where it lies.
        path: PathBuf,
        /// What is wrong with it.
        reason: io::Error,
    },
}

/// The keys as they are at one moment.
#[derive(Default)]
pub(super) struct Keys {
    keys: Vec<GossipKey>,
    ciphers: Vec<LessSafeKey>,
}

impl Keys {
    fn new(keys: Vec<GossipKey>) -> Self {
        let ciphers = keys.iter().filter_map(GossipKey::cipher).collect();
        Self { keys, ciphers }
    }

    /// The one that seals.
    pub fn first(&self) -> Option<&LessSafeKey> {
        self.ciphers.first()
    }

    /// Those that open, the first one first.
    pub fn all(&self) -> &[LessSafeKey] {
        &self.ciphers
    }
}

struct Held {
    keys: ArcSwap<Keys>,
    file: Option<PathBuf>,
    /// Changes are made one after the other.
    changing: Mutex<()>,
    opens_plain: bool,
    seals: bool,
}

/// The keys of this node in one pool. Clones are the same one.
#[derive(Clone)]
pub struct Keyring {
    held: Arc<Held>,
}

impl Default for Keyring {
    fn default() -> Self {
        Self::of(Keys::default(), None)
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.held.keys.load().keys.len();
        formatter.debug_struct("Keyring").field("keys", &count).field("file", &self.held.file).finish_non_exhaustive()
    }
}

impl Keyring {
    fn of(keys: Keys, file: Option<PathBuf>) -> Self {
        let held =
            Held { keys: ArcSwap::from_pointee(keys), file, changing: Mutex::new(()), opens_plain: false, seals: true };
        Self { held: Arc::new(held) }
    }

    /// A keyring with these keys, the first one first, in memory alone. Without keys the pool is not encrypted.
    #[must_use]
    pub fn in_memory(keys: Vec<GossipKey>) -> Self {
        Self::of(Keys::new(keys), None)
    }

    /// The keyring of a file; where there is no file, one is begun with the configured key. Without either the pool is
    /// not encrypted, and no file is made. Blocks.
    ///
    /// # Errors
    /// When the file cannot be read or written, or is no list of keys.
    pub fn open(file: &Path, configured: Option<GossipKey>) -> Result<Self, KeyringError> {
        let failed = |reason| KeyringError::File { path: file.to_owned(), reason };
        let keys = match fs::read(file) {
            Ok(bytes) => read(&bytes).map_err(|reason| failed(io::Error::other(reason)))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let keys: Vec<_> = configured.into_iter().collect();
                if !keys.is_empty() {
                    write(file, &keys).map_err(failed)?;
                }
                return Ok(Self::of(Keys::new(keys), Some(file.to_owned())));
            }
            Err(error) => return Err(failed(error)),
        };
        if configured.is_some_and(|configured| !keys.contains(&configured)) {
            tracing::warn!(file = %file.display(),
                "the configured gossip key is not in the keyring's file, which counts; update the configuration");
        }
        Ok(Self::of(Keys::new(keys), Some(file.to_owned())))
    }

    /// The same keyring, with what is not sealed taken from others too (`opens_plain`), or sent (`seals` false): for
    /// the time in which encryption is brought to a pool that has none.
    #[must_use]
    pub fn lenient(self, opens_plain: bool, seals: bool) -> Self {
        let keys = self.held.keys.load_full();
        let held = Held {
            keys: ArcSwap::new(keys),
            file: self.held.file.clone(),
            changing: Mutex::new(()),
            opens_plain,
            seals,
        };
        Self { held: Arc::new(held) }
    }

    /// Whether there is a key at all.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        !self.held.keys.load().keys.is_empty()
    }

    /// The keys in base64, the one that seals first.
    #[must_use]
    pub fn reveal(&self) -> Vec<String> {
        self.held.keys.load().keys.iter().map(GossipKey::reveal).collect()
    }

    pub(super) fn keys(&self) -> Arc<Keys> {
        self.held.keys.load_full()
    }

    /// Whether what is not sealed is taken.
    pub(super) fn opens_plain(&self) -> bool {
        self.held.opens_plain || !self.is_encrypted()
    }

    /// Whether what is sent is sealed.
    pub(super) fn seals(&self) -> bool {
        self.held.seals
    }

    /// From now on `key` opens. One that does already is no error.
    ///
    /// # Errors
    /// The keyring is empty or full, or its file cannot be written; nothing is changed then.
    pub fn install(&self, key: GossipKey) -> Result<(), KeyringError> {
        self.change(|keys| match () {
            () if keys.contains(&key) => Ok(()),
            () if keys.len() >= MAX_KEYS => Err(KeyringError::Full),
            () => {
                keys.push(key);
                Ok(())
            }
        })
    }

    /// From now on `key` seals.
    ///
    /// # Errors
    /// It is not installed, or the file cannot be written; nothing is changed then.
    pub fn use_key(&self, key: &GossipKey) -> Result<(), KeyringError> {
        self.change(|keys| {
            let place = keys.iter().position(|held| held == key).ok_or(KeyringError::Absent)?;
            keys[..=place].rotate_right(1);
            Ok(())
        })
    }

    /// From now on `key` opens nothing. One that is not there is no error.
    ///
    /// # Errors
    /// It is the one that seals, or the file cannot be written; nothing is changed then.
    pub fn remove(&self, key: &GossipKey) -> Result<(), KeyringError> {
        self.change(|keys| {
            if keys.first() == Some(key) {
                return Err(KeyringError::Primary);
            }
            keys.retain(|held| held != key);
            Ok(())
        })
    }

    fn change(&self, change: impl FnOnce(&mut Vec<GossipKey>) -> Result<(), KeyringError>) -> Result<(), KeyringError> {
        let _changing = self.held.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.held.keys.load_full();
        if before.keys.is_empty() {
            return Err(KeyringError::Empty);
        }
        let mut keys = before.keys.clone();
        change(&mut keys)?;
        if keys != before.keys {
            if let Some(file) = &self.held.file {
                write(file, &keys).map_err(|reason| KeyringError::File { path: file.clone(), reason })?;
            }
            self.held.keys.store(Arc::new(Keys::new(keys)));
        }
        Ok(())
    }
}

fn read(bytes: &[u8]) -> Result<Vec<GossipKey>, String> {
    let texts: Vec<String> = serde_json::from_slice(bytes).map_err(|_| "it is no JSON list of keys in base64")?;
    if texts.is_empty() || texts.len() > MAX_KEYS {
        return Err(format!("it has {} keys, not 1 to {MAX_KEYS}", texts.len()));
    }
    let parse = |(place, text): (usize, &String)| {
        GossipKey::parse(text).map_err(|error| format!("key {} is not one: {error}", place + 1))
    };
    texts.iter().enumerate().map(parse).collect()
}

/// Durable on return: a member that forgot a key which the others seal with would be outside.
fn write(file: &Path, keys: &[GossipKey]) -> io::Result<()> {
    let directory = file.parent().unwrap_or(Path::new("."));
    private::create_directory(directory)?;
    let unfinished = file.with_extension("new");
    let texts: Vec<_> = keys.iter().map(GossipKey::reveal).collect();
    // Left over from a crash, it may have another mode.
    match fs::remove_file(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut new = private::options().write(true).create_new(true).open(&unfinished)?;
    new.write_all(&serde_json::to_vec_pretty(&texts).map_err(io::Error::other)?)?;
    new.sync_all()?;
    fs::rename(&unfinished, file)?;
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn keys_are_read_as_operators_write_them() {
        let zeros = |count| STANDARD.encode(vec![0; count]);
        for (text, problem) in [
            (zeros(16), None),
            (format!(" {}\n", zeros(32)), None),
            (zeros(24), Some(KeyError::Length(24))),
            (String::new(), Some(KeyError::Length(0))),
            ("abc".into(), Some(KeyError::Encoding)),
        ] {
            assert_eq!(GossipKey::parse(&text).err(), problem, "{text:?}");
        }
        let key = GossipKey::generate().unwrap();
        assert_eq!(GossipKey::parse(&key.reveal()), Ok(key.clone()));
        assert_ne!(GossipKey::generate().unwrap(), key);
        assert!(!format!("{key:?}").contains(&key.reveal()), "no key in a log");
    }

    #[test]
    fn a_rotation_outlives_a_restart_and_the_file_counts_more_than_the_configuration() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("gossip/lan.keyring");
        let (old, new) = (GossipKey::generate().unwrap(), GossipKey::generate().unwrap());
        let ring = Keyring::open(&file, Some(old.clone())).unwrap();
        assert!(matches!(ring.use_key(&new), Err(KeyringError::Absent)));
        ring.install(new.clone()).unwrap();
        ring.install(new.clone()).unwrap();
        assert_eq!(ring.reveal(), [old.reveal(), new.reveal()]);
        assert!(matches!(ring.remove(&old), Err(KeyringError::Primary)));
        ring.use_key(&new).unwrap();
        ring.remove(&old).unwrap();
        let again = Keyring::open(&file, Some(old)).unwrap();
        assert_eq!(again.reveal(), [new.reveal()]);
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        for broken in ["", "[]", "{}", r#"["abc"]"#] {
            fs::write(&file, broken).unwrap();
            let error = Keyring::open(&file, None).unwrap_err().to_string();
            assert!(error.contains("lan.keyring"), "{error}");
        }
    }

    #[test]
    fn an_unencrypted_pool_has_no_file_and_takes_no_key() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("lan.keyring");
        let ring = Keyring::open(&file, None).unwrap();
        assert!(matches!(ring.install(GossipKey::generate().unwrap()), Err(KeyringError::Empty)));
        assert!(!file.exists() && !ring.is_encrypted());
    }

    #[test]
    fn the_number_of_keys_is_bounded() {
        let ring = Keyring::in_memory(vec![GossipKey::generate().unwrap()]);
        for _ in 1..MAX_KEYS {
            ring.install(GossipKey::generate().unwrap()).unwrap();
        }
        assert!(matches!(ring.install(GossipKey::generate().unwrap()), Err(KeyringError::Full)));
    }
}
