//! A connection whose other side must keep going: it is given up, with what it holds, when that takes nothing of an
//! answer for a while, or begins the head of a request and does not end it.
//!
//! Its end is not abrupt: who still sends when the last answer is written is read from for a moment, since a connection
//! that is closed with unread bytes is reset, and the answer lost.

use std::{
    future::Future,
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};

/// How long, and how many bytes of it, what comes after the last answer is read.
const LINGER_LIMIT: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 8 * 1024 * 1024;

/// Whose turn it is on a connection.
#[derive(Clone, Debug, Default)]
pub struct Turns(Arc<Side>);

#[derive(Debug, Default)]
struct Side {
    /// Odd while a request is being answered, even while one is awaited.
    turn: AtomicU32,
    /// Whether the other side was waited for since the last request.
    waited: AtomicBool,
}

/// The time in which one request is answered.
pub struct Turn(Turns);

impl Turns {
    /// A request is here, whole but for its body.
    pub fn begin(&self) -> Turn {
        self.0.turn.fetch_add(1, Relaxed);
        Turn(self.clone())
    }

    /// Whether this request came behind another without a pause: then others are let go first, or the hundreds that one
    /// connection sends at once are answered before anybody else's one.
    pub fn is_of_many(&self) -> bool {
        !self.0.waited.swap(false, Relaxed)
    }

    fn now(&self) -> u32 {
        self.0.turn.load(Relaxed)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.0.turn.fetch_add(1, Relaxed);
    }
}

/// See the module.
pub struct Patient<S> {
    stream: S,
    write_limit: Duration,
    head_limit: Duration,
    turns: Turns,
    /// The turn in which the last bytes came.
    heard: Option<u32>,
    /// Runs while a head that has begun is awaited.
    head: Option<Pin<Box<Sleep>>>,
    /// Runs while a write waits, and at the end while the other side may still send.
    waiting: Option<Pin<Box<Sleep>>>,
    /// Bytes read after the end.
    lingered: Option<usize>,
}

impl<S> Patient<S> {
    /// Writes to `stream` wait no longer than `write_limit`, and a head that has begun to come no longer than
    /// `head_limit`; `turns` says when it has come.
    pub fn new(stream: S, write_limit: Duration, head_limit: Duration, turns: Turns) -> Self {
        Self { stream, write_limit, head_limit, turns, heard: None, head: None, waiting: None, lingered: None }
    }

    fn is_in_head(&self) -> bool {
        let now = self.turns.now();
        now.is_multiple_of(2) && self.heard == Some(now)
    }

    fn patience<T>(&mut self, context: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.waiting = None;
            return written;
        }
        let limit = self.write_limit;
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(sleep(limit)));
        waiting.as_mut().poll(context).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if read.is_ready() {
            if buffer.filled().len() > before {
                self.heard = Some(self.turns.now());
            }
            return read;
        }
        self.turns.0.waited.store(true, Relaxed);
        if !self.is_in_head() {
            self.head = None;
            return read;
        }
        let limit = self.head_limit;
        let head = self.head.get_or_insert_with(|| Box::pin(sleep(limit)));
        head.as_mut().poll(context).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> Patient<S> {
    /// Reads on until the other side has ended too, or long enough.
    fn linger(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut ignored = [0; 8192];
        loop {
            let mut buffer = ReadBuf::new(&mut ignored);
            let read = Pin::new(&mut self.stream).poll_read(context, &mut buffer);
            let length = buffer.filled().len();
            match read {
                Poll::Ready(Ok(())) if length > 0 => {
                    let lingered = self.lingered.get_or_insert(0);
                    *lingered += length;
                    if *lingered > LINGER_BYTES {
                        return Poll::Ready(Ok(()));
                    }
                }
                // It has ended; however it did, nothing is lost by it.
                Poll::Ready(_) => return Poll::Ready(Ok(())),
                Poll::Pending => {
                    let waiting = self.waiting.get_or_insert_with(|| Box::pin(sleep(LINGER_LIMIT)));
                    return waiting.as_mut().poll(context).map(Ok);
                }
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.patience(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, pieces);
        self.patience(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.lingered.is_none() {
            let ended = ready!(Pin::new(&mut self.stream).poll_shutdown(context));
            ended?;
            (self.lingered, self.waiting) = (Some(0), None);
        }
        self.linger(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_does_not_read_is_given_up_and_who_reads_slowly_is_not() {
        let limit = Duration::from_secs(30);
        let (ours, mut theirs) = duplex(16);
        let mut ours = Patient::new(ours, limit, limit, Turns::default());
        let slowly = async {
            let mut taken = 0;
            while taken < 160 {
                tokio::time::sleep(limit / 2).await;
                taken += theirs.read(&mut [0; 16]).await.unwrap();
            }
        };
        let (written, ()) = tokio::join!(ours.write_all(&[0; 160]), slowly);
        written.unwrap();
        let error = ours.write_all(&[0; 160]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_that_has_begun_must_end_and_all_else_may_take_its_time() {
        let (limit, long) = (Duration::from_secs(10), Duration::from_secs(60));
        let (ours, mut theirs) = duplex(64);
        let turns = Turns::default();
        let mut ours = Patient::new(ours, limit, limit, turns.clone());
        let mut buffer = [0; 64];
        let nothing = tokio::time::timeout(long, ours.read(&mut buffer)).await;
        assert!(nothing.is_err(), "nothing has begun: {nothing:?}");
        theirs.write_all(b"PUT / HTTP/1.1\r\n\r\nbod").await.unwrap();
        assert!(ours.read(&mut buffer).await.unwrap() > 0);
        let turn = turns.begin();
        let body = tokio::time::timeout(long, ours.read(&mut buffer)).await;
        assert!(body.is_err(), "its body is another's matter: {body:?}");
        theirs.write_all(b"y").await.unwrap();
        assert!(ours.read(&mut buffer).await.unwrap() > 0);
        drop(turn);
        let idle = tokio::time::timeout(long, ours.read(&mut buffer)).await;
        assert!(idle.is_err(), "the next one has not begun: {idle:?}");
        let began = tokio::time::Instant::now();
        let slowly = async {
            loop {
                if theirs.write_all(b"x").await.is_err() {
                    return;
                }
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        };
        let read = async {
            loop {
                if let Err(error) = ours.read(&mut buffer).await {
                    return error;
                }
            }
        };
        let error = tokio::select! { error = read => error, () = slowly => panic!("it was closed") };
        assert_eq!((error.kind(), began.elapsed()), (io::ErrorKind::TimedOut, limit));
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_waits_for_the_other_side_but_not_for_long() {
        for (ends, expected) in [(true, Duration::ZERO), (false, LINGER_LIMIT)] {
            let (ours, mut theirs) = duplex(64);
            let mut ours = Patient::new(ours, LINGER_LIMIT, LINGER_LIMIT, Turns::default());
            theirs.write_all(&[7; 64]).await.unwrap();
            if ends {
                theirs.shutdown().await.unwrap();
            }
            let began = tokio::time::Instant::now();
            ours.shutdown().await.unwrap();
            assert_eq!(began.elapsed(), expected);
        }
    }
}
