//! Datagrams by the batch: one system call receives up to [`BATCH`] of them, one sends the answers.
//!
//! It is the one crate of the workspace with `unsafe` code, because `recvmmsg` and `sendmmsg` have no safe wrapper that
//! does: `rustix` has no `recvmmsg`, and `nix` gives all messages of a `sendmmsg` the same control data, so that a socket
//! bound to a wildcard could not answer each client from the address it asked. Every message header is built on the
//! stack directly before its call, from buffers that the [`Batch`] owns, and dropped after it: no pointer outlives the
//! borrow it was made from. What the kernel wrote is only read as bytes.
//!
//! Sockets are the caller's: this crate opens none and holds no descriptor. Linux only.

mod peer;
#[cfg(test)]
mod tests;

use std::{
    io, mem,
    os::fd::{AsRawFd, BorrowedFd},
    ptr,
};

pub use peer::{Peer, tell_local_addresses};

/// Datagrams in a batch, at most. One call more for so many is not to be seen in what a datagram costs.
pub const BATCH: usize = 32;

/// Whether a call waits until there is something to receive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waits {
    /// It does. A socket that is shut down for reading ends the wait with an empty datagram.
    Yes,
    /// It does not.
    No,
}

/// Questions as they were received and the answers to them, in buffers that are used again.
#[derive(Debug)]
pub struct Batch {
    /// One allocation, so that what is never used of it is never in memory.
    questions: Box<[u8]>,
    question_bytes: usize,
    slots: Vec<Slot>,
    /// How many of them were received last.
    received: usize,
    /// How many of those are dealt with: answered, or not to be.
    sent: usize,
    /// The capacity in bytes that an answer's buffer keeps.
    answer_bytes: usize,
}

#[derive(Debug, Default)]
struct Slot {
    length: usize,
    peer: Peer,
    answer: Vec<u8>,
}

/// One datagram, and what is to be sent back.
#[derive(Debug)]
pub struct Exchange<'b> {
    /// The datagram, cut where it was longer than the buffer.
    pub question: &'b [u8],
    /// Who sent it.
    pub peer: &'b Peer,
    /// The answer; empty: none is sent.
    pub answer: &'b mut Vec<u8>,
}

impl Batch {
    /// A batch of datagrams of up to `question_bytes`; longer answers than `answer_bytes` cost an allocation each.
    #[must_use]
    pub fn new(question_bytes: usize, answer_bytes: usize) -> Self {
        Self {
            questions: vec![0; BATCH * question_bytes].into_boxed_slice(),
            question_bytes,
            slots: (0..BATCH).map(|_| Slot::default()).collect(),
            received: 0,
            sent: 0,
            answer_bytes,
        }
    }

    /// What was received last.
    pub fn exchanges(&mut self) -> impl Iterator<Item = Exchange<'_>> {
        let questions = self.questions.chunks(self.question_bytes);
        questions.zip(&mut self.slots).take(self.received).map(|(question, slot)| Exchange {
            question: &question[..slot.length],
            peer: &slot.peer,
            answer: &mut slot.answer,
        })
    }

    /// Receives what is there, in place of what was received before. Fewer than [`BATCH`]: nothing more was there when
    /// the call ended.
    ///
    /// # Errors
    /// As `recvmmsg(2)`; [`io::ErrorKind::WouldBlock`] where nothing is there and it does not wait.
    pub fn receive(&mut self, socket: BorrowedFd<'_>, waits: Waits) -> io::Result<usize> {
        (self.received, self.sent) = (0, 0);
        let (mut vectors, mut headers) = (no_vectors(), no_headers());
        let questions = self.questions.chunks_mut(self.question_bytes);
        for (((slot, question), vector), header) in
            self.slots.iter_mut().zip(questions).zip(&mut vectors).zip(&mut headers)
        {
            slot.answer.clear();
            slot.answer.shrink_to(self.answer_bytes);
            *vector = buffer(question);
            slot.peer.receive(&mut header.msg_hdr);
            header.msg_hdr.msg_iov = vector;
            header.msg_hdr.msg_iovlen = 1;
        }
        let flags = if waits == Waits::Yes { libc::MSG_WAITFORONE } else { libc::MSG_DONTWAIT };
        // SAFETY: each header points to a part of `questions`, and to an address and control data of a slot, that no other
        // has, with their true lengths; those and `vectors` live, unmoved and not otherwise used, until the call is over.
        let count = unsafe {
            libc::recvmmsg(socket.as_raw_fd(), headers.as_mut_ptr(), BATCH as u32, flags as _, ptr::null_mut())
        };
        let count = usize::try_from(count).map_err(|_| io::Error::last_os_error())?;
        for (slot, header) in self.slots.iter_mut().zip(&headers).take(count) {
            slot.length = (header.msg_len as usize).min(self.question_bytes);
            slot.peer.received(&header.msg_hdr);
        }
        self.received = count;
        Ok(count)
    }

    /// Sends the answers that are not sent yet; waits for room as the socket does. None is left when it returns `Ok`.
    ///
    /// # Errors
    /// As `sendmmsg(2)`, about the first of them: that one is given up, and the next call goes on after it.
    pub fn send(&mut self, socket: BorrowedFd<'_>) -> io::Result<()> {
        loop {
            let (mut vectors, mut headers, mut places) = (no_vectors(), no_headers(), [0; BATCH]);
            let mut count = 0;
            for (place, slot) in self.slots.iter_mut().enumerate().take(self.received).skip(self.sent) {
                if !slot.answer.is_empty() {
                    vectors[count] = buffer(&mut slot.answer);
                    slot.peer.send(&mut headers[count].msg_hdr);
                    headers[count].msg_hdr.msg_iov = &raw mut vectors[count];
                    headers[count].msg_hdr.msg_iovlen = 1;
                    places[count] = place;
                    count += 1;
                }
            }
            if count == 0 {
                self.sent = self.received;
                return Ok(());
            }
            // SAFETY: as in `receive`, for the first `count` headers.
            let sent = unsafe { libc::sendmmsg(socket.as_raw_fd(), headers.as_mut_ptr(), count as u32, 0) };
            match usize::try_from(sent) {
                Ok(sent) if sent == count => {
                    self.sent = self.received;
                    return Ok(());
                }
                Ok(sent) if sent > 0 => self.sent = places[sent - 1] + 1,
                _ => {
                    self.sent = places[0] + 1;
                    return Err(io::Error::last_os_error());
                }
            }
        }
    }
}

/// Sends one datagram to a peer of an earlier batch, without waiting.
///
/// # Errors
/// As `sendmsg(2)`.
pub fn send(socket: BorrowedFd<'_>, answer: &mut [u8], peer: &Peer) -> io::Result<()> {
    let mut vector = buffer(answer);
    let mut peer = peer.clone();
    let mut header = no_headers()[0].msg_hdr;
    peer.send(&mut header);
    header.msg_iov = &raw mut vector;
    header.msg_iovlen = 1;
    // SAFETY: the header points to `answer`, `peer` and `vector`, which all live until the call is over.
    let sent = unsafe { libc::sendmsg(socket.as_raw_fd(), &raw const header, libc::MSG_DONTWAIT) };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn buffer(bytes: &mut [u8]) -> libc::iovec {
    libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() }
}

fn no_vectors() -> [libc::iovec; BATCH] {
    [libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 }; BATCH]
}

fn no_headers() -> [libc::mmsghdr; BATCH] {
    // SAFETY: a header of zeros is a valid one: null pointers, each with the length 0, and no flags.
    unsafe { mem::zeroed() }
}
