//! Telling systemd how the agent is doing (`Type=notify`, `Type=notify-reload`): the protocol of `sd_notify(3)`, datagrams of
//! `KEY=VALUE` lines to the socket that `$NOTIFY_SOCKET` names. Without that variable nothing is sent.
//!
//! Nothing waits for systemd: a message it does not take is dropped with a warning.

use std::{
    env,
    ffi::{OsStr, OsString},
    io,
    os::{
        linux::net::SocketAddrExt,
        unix::{
            ffi::OsStrExt,
            net::{SocketAddr, UnixDatagram},
        },
    },
};

use rustix::time::{ClockId, clock_gettime};

/// How the agent is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It serves.
    Ready,
    /// It is reading its files again; `Ready` follows.
    Reloading,
    /// It is about to end.
    Stopping,
}

/// The way to systemd.
#[derive(Clone, Debug)]
pub struct Notifier {
    socket: Option<OsString>,
}

impl Notifier {
    /// The one that the environment names, if any.
    #[must_use]
    pub fn from_environment() -> Self {
        Self::to(env::var_os("NOTIFY_SOCKET"))
    }

    fn to(socket: Option<OsString>) -> Self {
        Self { socket: socket.filter(|socket| !socket.is_empty()) }
    }

    /// Says how it is doing.
    pub fn tell(&self, state: State) {
        let Some(socket) = &self.socket else { return };
        if let Err(error) = send(socket, &message(state)) {
            tracing::warn!(%error, ?state, "systemd cannot be told how the agent is doing");
        }
    }
}

fn message(state: State) -> String {
    match state {
        State::Ready => "READY=1".into(),
        State::Stopping => "STOPPING=1".into(),
        State::Reloading => {
            let now = clock_gettime(ClockId::Monotonic);
            let microseconds = i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec) / 1_000;
            format!("RELOADING=1\nMONOTONIC_USEC={microseconds}")
        }
    }
}

/// A name that begins with `@` is in the abstract namespace.
fn send(socket: &OsStr, message: &str) -> io::Result<()> {
    let address = match socket.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(socket)?,
    };
    let datagram = UnixDatagram::unbound()?;
    datagram.set_nonblocking(true)?;
    datagram.send_to_addr(message.as_bytes(), &address).map(drop)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn received(socket: &UnixDatagram) -> String {
        socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let mut buffer = [0; 256];
        let length = socket.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    }

    #[test]
    fn systemd_is_told_in_its_own_words() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let of_path = UnixDatagram::bind(&path).unwrap();
        let name = format!("lictor-notify-{}", std::process::id());
        let abstractly = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        for (socket, address) in [(of_path, path.into_os_string()), (abstractly, format!("@{name}").into())] {
            let notifier = Notifier::to(Some(address));
            notifier.tell(State::Ready);
            assert_eq!(received(&socket), "READY=1");
            notifier.tell(State::Reloading);
            let text = received(&socket);
            let time = text.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap_or_else(|| panic!("{text}"));
            assert!(time.parse::<u64>().unwrap() > 0);
            notifier.tell(State::Stopping);
            assert_eq!(received(&socket), "STOPPING=1");
        }
    }

    #[test]
    fn nobody_to_tell_is_no_error() {
        for socket in [None, Some(OsString::new()), Some("/nowhere/notify".into())] {
            Notifier::to(socket).tell(State::Ready);
        }
    }
}
