//! Real sockets on loopback.

use std::{
    io::ErrorKind,
    net::{SocketAddr, UdpSocket},
    os::fd::AsFd,
    time::Duration,
};

use super::*;

const DEADLINE: Duration = Duration::from_secs(10);

fn server(address: &str) -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind(address).expect("a free port");
    let address = socket.local_addr().expect("an address");
    (socket, address)
}

/// A client that hears nobody but the address it asks.
fn client(of: SocketAddr) -> UdpSocket {
    let any: SocketAddr = if of.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" }.parse().expect("an address");
    let socket = UdpSocket::bind(any).expect("a free port");
    socket.connect(of).expect("a route to loopback");
    socket.set_read_timeout(Some(DEADLINE)).expect("a time-out");
    socket
}

fn heard(client: &UdpSocket) -> Vec<u8> {
    let mut buffer = [0; 64];
    let length = client.recv(&mut buffer).expect("an answer in time");
    buffer[..length].to_vec()
}

/// On loopback a datagram is there when the call that sent it is over.
fn receive(batch: &mut Batch, socket: &UdpSocket) -> usize {
    batch.receive(socket.as_fd(), Waits::Yes).expect("datagrams")
}

#[test]
fn each_gets_its_own_answer_and_an_empty_one_is_not_sent() {
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let (socket, address) = server(address);
        let clients: Vec<UdpSocket> = (0..3).map(|_| client(address)).collect();
        let mut batch = Batch::new(16, 16);
        for (number, client) in clients.iter().enumerate() {
            client.send(format!("question {number}").as_bytes()).expect("sent");
        }
        assert_eq!(receive(&mut batch, &socket), 3);
        for (exchange, client) in batch.exchanges().zip(&clients) {
            assert_eq!(exchange.peer.address(), client.local_addr().ok());
            if !exchange.question.ends_with(b"1") {
                exchange.answer.extend_from_slice(exchange.question);
            }
        }
        batch.send(socket.as_fd()).expect("sent");
        assert_eq!(batch.receive(socket.as_fd(), Waits::No).expect_err("nothing more").kind(), ErrorKind::WouldBlock);
        assert_eq!((heard(&clients[0]), heard(&clients[2])), (b"question 0".to_vec(), b"question 2".to_vec()));
        clients[1].set_nonblocking(true).expect("set");
        assert_eq!(clients[1].recv(&mut [0; 16]).expect_err("no answer").kind(), ErrorKind::WouldBlock);
    }
}

#[test]
fn more_than_a_batch_comes_in_order_and_what_is_too_long_is_cut() {
    let (socket, address) = server("127.0.0.1:0");
    let client = client(address);
    for number in 0..BATCH + 3 {
        client.send(&[u8::try_from(number).expect("small"); 6]).expect("sent");
    }
    let mut batch = Batch::new(4, 16);
    assert_eq!(receive(&mut batch, &socket), BATCH);
    assert!(batch.exchanges().zip(0..).all(|(exchange, number)| exchange.question == [number; 4]));
    assert_eq!(receive(&mut batch, &socket), 3);
    let rest: Vec<u8> = batch.exchanges().map(|exchange| exchange.question[0]).collect();
    assert!(rest.into_iter().map(usize::from).eq(BATCH..BATCH + 3));
}

#[test]
fn an_answer_that_cannot_be_sent_does_not_keep_the_others_back() {
    let (socket, address) = server("127.0.0.1:0");
    let client = client(address);
    for _ in 0..3 {
        client.send(b"?").expect("sent");
    }
    let mut batch = Batch::new(16, 16);
    assert_eq!(receive(&mut batch, &socket), 3);
    for (exchange, length) in batch.exchanges().zip([1, 70_000, 2]) {
        exchange.answer.resize(length, b'!');
    }
    let error = batch.send(socket.as_fd()).expect_err("more than a datagram holds");
    assert_eq!(error.raw_os_error(), Some(libc::EMSGSIZE));
    batch.send(socket.as_fd()).expect("the rest");
    assert_eq!((heard(&client), heard(&client)), (b"!".to_vec(), b"!!".to_vec()));
}

#[test]
fn from_a_wildcard_each_is_answered_from_the_address_it_asked() {
    for (wildcard, asked) in [("0.0.0.0:0", ["127.0.0.1", "127.0.0.2"]), ("[::]:0", ["::1", "127.0.0.3"])] {
        let (socket, address) = server(wildcard);
        tell_local_addresses(socket.as_fd(), address.is_ipv6()).expect("an option of every such socket");
        let asked = asked.map(|ip| SocketAddr::new(ip.parse().expect("an address"), address.port()));
        let clients = asked.map(client);
        for client in &clients {
            client.send(b"?").expect("sent");
        }
        let mut batch = Batch::new(16, 16);
        assert_eq!(receive(&mut batch, &socket), 2);
        batch.exchanges().for_each(|exchange| exchange.answer.push(b'!'));
        batch.send(socket.as_fd()).expect("sent");
        let peers: Vec<Peer> = batch.exchanges().map(|exchange| exchange.peer.clone()).collect();
        for (client, peer) in clients.iter().zip(&peers) {
            assert_eq!(heard(client), b"!");
            send(socket.as_fd(), &mut b"later".to_vec(), peer).expect("sent");
            assert_eq!(heard(client), b"later");
        }
    }
}

#[test]
fn a_socket_that_is_shut_down_ends_the_wait() {
    let (socket, _) = server("127.0.0.1:0");
    let (began, waits) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            let mut batch = Batch::new(16, 16);
            began.send(()).expect("heard");
            let count = receive(&mut batch, &socket);
            batch.exchanges().map(|exchange| exchange.question.len()).collect::<Vec<_>>() == vec![0; count]
        });
        waits.recv_timeout(DEADLINE).expect("it began");
        // SAFETY: a call on a descriptor that is open.
        unsafe { libc::shutdown(socket.as_raw_fd(), libc::SHUT_RD) };
        assert!(waiting.join().expect("no panic"), "more than nothing was received");
    });
}
