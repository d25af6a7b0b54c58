//! What operators do with the keys of a pool: every alive member is asked, and none is changed unless all are ready.
//!
//! One exchange is hello, challenge, request, reply, each sealed for the one before it (`envelope`): the challenge makes
//! a recorded request worthless, which could otherwise install again a key that was removed. A request to use or to
//! remove a key is preceded by a round of questions: a member that lacks the key, still seals with it, or does not
//! answer would be cut off, and so nobody is changed. Members that are failed or away meanwhile are not asked: they come
//! back with the keys that they had, and get in as long as one of those opens here.

use std::{collections::BTreeMap, net::SocketAddr};

use futures_util::{StreamExt, stream};
use serde::{Deserialize, Serialize};
use tokio::{net::TcpStream, time::timeout};

use super::{
    Pool,
    envelope::{Envelope, Kind},
    keyring::{GossipKey, Keyring, KeyringError},
    limits::{KEY_QUESTION_LIMIT, MAX_KEY_FRAME_BYTES, MAX_KEY_QUESTIONS},
    member::{Member, MemberStatus},
    transport::{read_frame, write_frame},
    wire,
};

/// What is to be done with the keys of a pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyringChange {
    /// A further key opens.
    Install(GossipKey),
    /// A key that is installed seals.
    Use(GossipKey),
    /// A key that does not seal opens no more.
    Remove(GossipKey),
}

/// What came of a round.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyringReport {
    /// Members that were asked: those alive, this one too.
    pub members: usize,
    /// What went wrong, by node name.
    pub errors: BTreeMap<String, String>,
    /// How many members have each key, by the key in base64.
    pub keys: BTreeMap<String, usize>,
    /// How many members seal with each key.
    pub primary: BTreeMap<String, usize>,
}

/// What one member is asked. Keys are in base64.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum KeyRequest {
    List,
    Install(String),
    Use(String),
    Remove(String),
}

/// What it answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum KeyReply {
    /// Its keys, the one that seals first.
    Keys(Vec<String>),
    Done,
    Failed(String),
}

impl KeyringChange {
    fn request(&self) -> KeyRequest {
        match self {
            Self::Install(key) => KeyRequest::Install(key.reveal()),
            Self::Use(key) => KeyRequest::Use(key.reveal()),
            Self::Remove(key) => KeyRequest::Remove(key.reveal()),
        }
    }

    /// Why a member with these keys is not ready for it.
    fn objection(&self, keys: &[String]) -> Option<&'static str> {
        match self {
            Self::Install(_) => None,
            Self::Use(key) => (!keys.contains(&key.reveal())).then_some("requested key is not in the keyring"),
            Self::Remove(key) => {
                (keys.first() == Some(&key.reveal())).then_some("removing the primary key is not allowed")
            }
        }
    }
}

/// Does at this member what a peer or an operator asks. Blocks when the keyring has a file.
fn carry_out(keyring: &Keyring, request: &KeyRequest) -> KeyReply {
    let change = |text: &String, change: &dyn Fn(GossipKey) -> Result<(), KeyringError>| {
        GossipKey::parse(text).map_err(KeyringError::from).and_then(change)
    };
    let changed = match request {
        KeyRequest::List if !keyring.is_encrypted() => Err(KeyringError::Empty),
        KeyRequest::List => return KeyReply::Keys(keyring.reveal()),
        KeyRequest::Install(key) => change(key, &|key| keyring.install(key)),
        KeyRequest::Use(key) => change(key, &|key| keyring.use_key(&key)),
        KeyRequest::Remove(key) => change(key, &|key| keyring.remove(&key)),
    };
    match changed {
        Ok(()) => KeyReply::Done,
        Err(error) => KeyReply::Failed(error.to_string()),
    }
}

async fn carry_out_here(keyring: Keyring, request: KeyRequest) -> KeyReply {
    let worked = tokio::task::spawn_blocking(move || {
        let reply = carry_out(&keyring, &request);
        if reply == KeyReply::Done {
            let what = match request {
                KeyRequest::List => "listed",
                KeyRequest::Install(_) => "installed",
                KeyRequest::Use(_) => "used from now on",
                KeyRequest::Remove(_) => "removed",
            };
            tracing::info!("a gossip key was {what} by an operator");
        }
        reply
    });
    worked.await.unwrap_or_else(|error| KeyReply::Failed(error.to_string()))
}

/// Serves one exchange, whose first frame has been read.
pub(super) async fn serve(stream: &mut TcpStream, envelope: &Envelope, hello: &[u8]) -> std::io::Result<()> {
    let Ok(opened) = envelope.open(Kind::Keys, hello) else {
        // Whoever cannot be read gets no word about keys; a member of an encrypted pool may know by that we have none.
        let reply = KeyReply::Failed(KeyringError::Empty.to_string());
        if !envelope.keyring.is_encrypted() {
            write_frame(stream, envelope.seal(Kind::KeysReply, &wire::encode(&reply))).await?;
        }
        return Ok(());
    };
    let challenge = envelope.seal_as(Kind::KeysReply, opened.nonce, &[]);
    let challenge_nonce = Envelope::nonce_of(&challenge);
    write_frame(stream, challenge).await?;
    let frame = read_frame(stream, MAX_KEY_FRAME_BYTES).await?;
    let unread = |reason: String| std::io::Error::new(std::io::ErrorKind::InvalidData, reason);
    let opened = envelope.open_as(Kind::Keys, challenge_nonce, &frame).map_err(|error| unread(error.to_string()))?;
    let request = postcard::from_bytes(&opened.payload).map_err(|error| unread(error.to_string()))?;
    let reply = carry_out_here(envelope.keyring.clone(), request).await;
    write_frame(stream, envelope.seal_as(Kind::KeysReply, opened.nonce, &wire::encode(&reply))).await
}

/// Asks the member at `address`.
pub(super) async fn ask(address: SocketAddr, envelope: &Envelope, request: &KeyRequest) -> Result<KeyReply, String> {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
        let hello = envelope.seal(Kind::Keys, &[]);
        let hello_nonce = Envelope::nonce_of(&hello);
        write_frame(&mut stream, hello).await.map_err(|error| error.to_string())?;
        let unanswered = |_| "it closed the connection: it may have none of our keys".to_owned();
        let challenge = read_frame(&mut stream, MAX_KEY_FRAME_BYTES).await.map_err(unanswered)?;
        let opened = envelope.open_as(Kind::KeysReply, hello_nonce, &challenge).map_err(|error| error.to_string())?;
        let sealed = envelope.seal_as(Kind::Keys, opened.nonce, &wire::encode(request));
        let nonce = Envelope::nonce_of(&sealed);
        write_frame(&mut stream, sealed).await.map_err(|error| error.to_string())?;
        let reply = read_frame(&mut stream, MAX_KEY_FRAME_BYTES).await.map_err(|error| error.to_string())?;
        let opened = envelope.open_as(Kind::KeysReply, nonce, &reply).map_err(|error| error.to_string())?;
        postcard::from_bytes(&opened.payload).map_err(|error| error.to_string())
    };
    let late = |_| Err(format!("no answer within {} s", KEY_QUESTION_LIMIT.as_secs()));
    timeout(KEY_QUESTION_LIMIT, exchange).await.unwrap_or_else(late)
}

impl Pool {
    /// The keys of every alive member, or of this one alone.
    pub async fn keys(&self, local_only: bool) -> KeyringReport {
        let members = self.asked(local_only);
        let mut report = KeyringReport { members: members.len(), ..KeyringReport::default() };
        for (name, reply) in self.round(members, &KeyRequest::List).await {
            match reply {
                Ok(KeyReply::Keys(keys)) => {
                    if let Some(first) = keys.first() {
                        *report.primary.entry(first.clone()).or_default() += 1;
                    }
                    keys.into_iter().for_each(|key| *report.keys.entry(key).or_default() += 1);
                }
                reply => drop(report.errors.insert(name, failure(reply))),
            }
        }
        report
    }

    /// Changes the keys of every alive member, this one too; of none unless all are ready for it.
    pub async fn change_keys(&self, change: KeyringChange) -> KeyringReport {
        let members = self.asked(false);
        let mut report = KeyringReport { members: members.len(), ..KeyringReport::default() };
        if !matches!(change, KeyringChange::Install(_)) {
            for (name, reply) in self.round(members.clone(), &KeyRequest::List).await {
                let objection = match reply {
                    Ok(KeyReply::Keys(keys)) => change.objection(&keys).map(String::from),
                    reply => Some(failure(reply)),
                };
                report.errors.extend(objection.map(|objection| (name, objection)));
            }
        }
        if report.errors.is_empty() {
            let replies = self.round(members, &change.request()).await;
            let failed = replies.into_iter().filter(|(_, reply)| !matches!(reply, Ok(KeyReply::Done)));
            report.errors.extend(failed.map(|(name, reply)| (name, failure(reply))));
        }
        report
    }

    fn asked(&self, local_only: bool) -> Vec<Member> {
        let own = self.own().name;
        let asked = |member: &Member| match member.status {
            MemberStatus::Alive | MemberStatus::Leaving => !local_only || member.name == own,
            MemberStatus::Left | MemberStatus::Failed => false,
        };
        self.members().into_iter().filter(asked).collect()
    }

    async fn round(&self, members: Vec<Member>, request: &KeyRequest) -> Vec<(String, Result<KeyReply, String>)> {
        let (own, envelope) = (self.own().name, &self.shared.envelope);
        let questions = members.into_iter().map(|member| {
            let here = member.name == own;
            async move {
                let reply = match here {
                    _ if !envelope.keyring.is_encrypted() => Err(KeyringError::Empty.to_string()),
                    true => Ok(carry_out_here(envelope.keyring.clone(), request.clone()).await),
                    false => ask(member.address, envelope, request).await,
                };
                (member.name, reply)
            }
        });
        stream::iter(questions).buffer_unordered(MAX_KEY_QUESTIONS).collect().await
    }
}

fn failure(reply: Result<KeyReply, String>) -> String {
    match reply {
        Ok(KeyReply::Failed(reason)) | Err(reason) => reason,
        Ok(KeyReply::Keys(_) | KeyReply::Done) => "it answered something else than what it was asked".into(),
    }
}
