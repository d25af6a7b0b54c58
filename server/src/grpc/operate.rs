//! What operators ask of the servers, over the wire: archives in pieces, and changes of the servers.

use futures_util::{StreamExt, stream, stream::BoxStream};
use lictor_proto::internal::{
    ArchiveHead, ChangeServersReply, ChangeServersRequest, RestoreArchivePiece, RestoreArchiveReply, SaveArchivePiece,
    ServersChanged, Unknown, change_servers_reply, restore_archive_reply, save_archive_piece::Piece,
};
use lictor_shared::{
    backend::{Archive, BackendError, Pieces, ServersChange},
    forward::AskError,
};
use tonic::{Status, Streaming};

use super::{Inner, not_leader, rejected};

/// What a connection is sent of an archive.
pub type ArchiveStream = BoxStream<'static, Result<SaveArchivePiece, Status>>;

impl Inner {
    pub(super) async fn save_archive(&self, any_server: bool) -> Result<ArchiveStream, Status> {
        match self.desk.archives.save(any_server).await {
            Ok(archive) => Ok(pieces_of(archive)),
            Err(AskError::NotLeader { leader }) => {
                let piece = SaveArchivePiece { piece: Some(Piece::NotLeader(not_leader(leader))) };
                Ok(stream::iter([Ok(piece)]).boxed())
            }
            Err(AskError::Rejected(reason)) => Err(Status::failed_precondition(reason)),
            Err(error) => Err(Status::unavailable(error.to_string())),
        }
    }

    pub(super) async fn restore_archive(&self, pieces: Streaming<RestoreArchivePiece>) -> RestoreArchiveReply {
        let pieces = pieces.map(|piece| match piece {
            Ok(piece) => Ok(piece.bytes),
            Err(status) => Err(BackendError::Refused(status.message().to_owned())),
        });
        use restore_archive_reply::Reply;
        let reply = match self.desk.archives.restore(Pieces::new(pieces)).await {
            Ok(index) => Reply::Index(index.0),
            Err(AskError::NotLeader { leader }) => Reply::NotLeader(not_leader(leader)),
            Err(AskError::Unknown(reason)) => Reply::Unknown(Unknown { reason }),
            Err(AskError::Rejected(reason) | AskError::Unsent(reason) | AskError::Denied(reason)) => {
                Reply::Rejected(rejected(reason))
            }
        };
        RestoreArchiveReply { reply: Some(reply) }
    }

    pub(super) async fn change_servers(&self, request: ChangeServersRequest) -> Result<ChangeServersReply, Status> {
        use change_servers_reply::Reply;
        let change = ServersChange::try_from(request).map_err(|error| Status::invalid_argument(error.to_string()))?;
        let reply = match self.consensus.change_servers(&change).await {
            Ok(()) => Reply::Done(ServersChanged {}),
            Err(AskError::NotLeader { leader }) => Reply::NotLeader(not_leader(leader)),
            Err(AskError::Unknown(reason)) => Reply::Unknown(Unknown { reason }),
            Err(AskError::Rejected(reason) | AskError::Unsent(reason) | AskError::Denied(reason)) => {
                Reply::Rejected(rejected(reason))
            }
        };
        Ok(ChangeServersReply { reply: Some(reply) })
    }
}

fn pieces_of(archive: Archive) -> ArchiveStream {
    let head = ArchiveHead {
        index: archive.index.0,
        known_leader: archive.contact.known_leader,
        leader_contact_ms: u64::try_from(archive.contact.last.as_millis()).unwrap_or(u64::MAX),
    };
    let head = SaveArchivePiece { piece: Some(Piece::Head(head)) };
    let pieces = archive.pieces.map(|piece| match piece {
        Ok(bytes) => Ok(SaveArchivePiece { piece: Some(Piece::Bytes(bytes)) }),
        Err(error) => Err(Status::data_loss(error.to_string())),
    });
    stream::iter([Ok(head)]).chain(pieces).boxed()
}
