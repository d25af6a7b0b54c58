//! Lictor's protobuf interfaces and their conversions to and from the types of `lictor_shared`.
//!
//! The `.proto` files are in `proto/`, by package; the code made from them is committed in `src/generated/` (see
//! `tests/generated.rs`), so that building needs no protoc. Only `convert` touches generated model types: everyone
//! else encodes and decodes with `encode_command` and its siblings. `client` asks servers in the same terms,
//! `connection` is how a port takes connections, `frames` how states lie in files,
//! `traced` has both make their spans.
//!
//! Applications need [`v1`] alone; everything else is behind the feature `node`.

#[cfg(feature = "node")]
pub mod client;
#[cfg(feature = "node")]
pub mod connection;
#[cfg(feature = "node")]
pub mod convert;
#[cfg(feature = "node")]
pub mod frames;
#[cfg(feature = "node")]
pub mod traced;

#[cfg(feature = "node")]
pub use convert::{
    DecodeError, decode_change, decode_command, decode_record, encode_change, encode_command, encode_record,
};

/// `lictor.internal.v1`: what servers and sidecars say to each other. No promise is made to anyone else.
#[cfg(feature = "node")]
#[allow(missing_docs, clippy::all, clippy::pedantic, rustdoc::all)]
pub mod internal {
    include!("generated/lictor.internal.v1.rs");
}

/// `lictor.v1`: what applications ask of the agent on their host.
#[allow(missing_docs, clippy::all, clippy::pedantic, rustdoc::all)]
pub mod v1 {
    include!("generated/lictor.v1.rs");
}

/// The descriptors of `lictor.v1`, for server reflection: an encoded `google.protobuf.FileDescriptorSet`.
pub const V1_DESCRIPTORS: &[u8] = include_bytes!("generated/lictor.v1.binpb");
