//! Who sent a datagram, and which of our addresses it was sent to.

use std::{
    fmt, io, mem,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6},
    os::fd::{AsRawFd, BorrowedFd},
};

/// Room for one packet info, the longest of which (IPv6) takes 40 bytes.
const CONTROL_BYTES: usize = 64;
/// Where a control message's data begin: after its header, which is aligned on every platform.
const DATA: usize = mem::size_of::<libc::cmsghdr>();

/// Whom an answer is sent to, and from which address.
#[derive(Clone)]
pub struct Peer {
    address: libc::sockaddr_storage,
    address_length: libc::socklen_t,
    control: Control,
    control_length: usize,
}

/// Aligned as a control message's header must be.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
struct Control([u8; CONTROL_BYTES]);

impl Default for Peer {
    fn default() -> Self {
        // SAFETY: zeros are a valid address storage: one of no family.
        let address = unsafe { mem::zeroed() };
        Self { address, address_length: 0, control: Control([0; CONTROL_BYTES]), control_length: 0 }
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address().fmt(f)
    }
}

impl Peer {
    /// Its address; `None` where it has none that is of the internet.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        let storage = &raw const self.address;
        match i32::from(self.address.ss_family) {
            libc::AF_INET => {
                // SAFETY: the storage is at least as large and as aligned as every address, and its family says which.
                let address = unsafe { *storage.cast::<libc::sockaddr_in>() };
                let ip = Ipv4Addr::from(address.sin_addr.s_addr.to_ne_bytes());
                Some(SocketAddr::from((ip, u16::from_be(address.sin_port))))
            }
            libc::AF_INET6 => {
                // SAFETY: as above.
                let address = unsafe { *storage.cast::<libc::sockaddr_in6>() };
                let ip = Ipv6Addr::from(address.sin6_addr.s6_addr);
                let port = u16::from_be(address.sin6_port);
                Some(SocketAddrV6::new(ip, port, address.sin6_flowinfo, address.sin6_scope_id).into())
            }
            _ => None,
        }
    }

    /// Has the next call write the peer here.
    pub(crate) fn receive(&mut self, header: &mut libc::msghdr) {
        header.msg_name = (&raw mut self.address).cast();
        header.msg_namelen = mem::size_of::<libc::sockaddr_storage>() as libc::socklen_t;
        header.msg_control = self.control.0.as_mut_ptr().cast();
        header.msg_controllen = CONTROL_BYTES as _;
    }

    /// Takes what the call wrote. The answer goes out by the route of its own, not by the interface of the question, so
    /// that is taken out of the packet info; only the address stays.
    pub(crate) fn received(&mut self, header: &libc::msghdr) {
        self.address_length = header.msg_namelen;
        let number = |at: usize| i32::from_ne_bytes(self.control.0[at..at + 4].try_into().unwrap_or_default());
        let level = number(mem::offset_of!(libc::cmsghdr, cmsg_level));
        let kind = number(mem::offset_of!(libc::cmsghdr, cmsg_type));
        let (interface, bytes) = match (level, kind) {
            (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                (mem::offset_of!(libc::in_pktinfo, ipi_ifindex), mem::size_of::<libc::in_pktinfo>())
            }
            (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                (mem::offset_of!(libc::in6_pktinfo, ipi6_ifindex), mem::size_of::<libc::in6_pktinfo>())
            }
            _ => (0, usize::MAX),
        };
        #[allow(clippy::unnecessary_cast, reason = "a u32 where the C library is musl")]
        let written = header.msg_controllen as usize;
        let is_whole = header.msg_flags & libc::MSG_CTRUNC == 0 && written >= DATA + 4;
        let is_known = is_whole && bytes <= CONTROL_BYTES - DATA;
        self.control_length = if is_known { written.min(CONTROL_BYTES) } else { 0 };
        if is_known {
            self.control.0[DATA + interface..DATA + interface + 4].fill(0);
        }
    }

    /// Has the next call send to the peer, from the address that it asked.
    pub(crate) fn send(&mut self, header: &mut libc::msghdr) {
        header.msg_name = (&raw mut self.address).cast();
        header.msg_namelen = self.address_length;
        if self.control_length > 0 {
            header.msg_control = self.control.0.as_mut_ptr().cast();
            header.msg_controllen = self.control_length as _;
        }
    }
}

/// Has the kernel tell with each datagram which address it was sent to: for sockets that are bound to a wildcard.
///
/// # Errors
/// As `setsockopt(2)`.
pub fn tell_local_addresses(socket: BorrowedFd<'_>, is_v6: bool) -> io::Result<()> {
    let on: libc::c_int = 1;
    let (level, option) =
        if is_v6 { (libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO) } else { (libc::IPPROTO_IP, libc::IP_PKTINFO) };
    let length = mem::size_of_val(&on) as libc::socklen_t;
    // SAFETY: the value is an integer that lives until the call is over, and its length is told.
    let result = unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, (&raw const on).cast(), length) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
