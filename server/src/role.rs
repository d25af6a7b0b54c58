//! The server's part of a node: Raft, the RPC port, the watch fan-out, the leader's duties.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use async_trait::async_trait;
use lictor_proto::{client::Client, traced::Answering};
use lictor_shared::{
    backend::Backend,
    config::{Config, RoleConfig},
    datacenters::Datacenters,
    node::{Ground, Role, RoleError},
    tasks::Tasks,
    tls::Tls,
};
use tokio::net::TcpListener;
use uuid::Uuid;

use crate::{
    archive::Archives,
    backend::{FarServers, Own, server_backend},
    consensus::Consensus,
    fanout::Fanout,
    grpc::{self, Admitted, Desk, RegistryService},
    leader::{
        Duties,
        replication::Replicator,
        sessions::{self, SessionTimers},
        witness::Witness,
    },
    raft::{
        ChangeSink, RaftNode, RaftSettings, ServerAddress,
        data_dir::{DataDir, Owner, new_raft_id},
    },
};

/// How long a server that leaves waits for another to lead.
const HAND_OVER: Duration = Duration::from_secs(2);

/// Why the RPC port cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("RPC: cannot listen on {address}: {reason} (choose another port with -server-port or ports.server)")]
struct BindError {
    address: SocketAddr,
    reason: io::Error,
}

/// A node that takes part in Raft.
#[derive(Default)]
pub struct ServerRole {
    prepared: Option<Prepared>,
    raft: Option<RaftNode>,
    /// Held until the process ends: nobody else may use the directory.
    data_dir: Option<DataDir>,
}

struct Prepared {
    listener: TcpListener,
    raft_id: u64,
    node_id: Uuid,
}

#[async_trait]
impl Role for ServerRole {
    async fn prepare(&mut self, config: &Config) -> Result<Uuid, RoleError> {
        let address = SocketAddr::new(config.listen.bind, config.listen.server);
        let listener = grpc::listen(address).await.map_err(|reason| BindError { address, reason })?;
        let (raft_id, node_id) = match &config.data_dir {
            None => (new_raft_id(), config.node_id.unwrap_or_else(Uuid::new_v4)),
            Some(path) => {
                let owner = Owner {
                    node_id: config.node_id,
                    name: config.node_name.as_str().into(),
                    datacenter: config.datacenter.as_str().into(),
                };
                let data_dir = DataDir::open(path, &owner)?;
                let ids = (data_dir.identity().raft_id, data_dir.identity().node_id);
                self.data_dir = Some(data_dir);
                ids
            }
        };
        self.prepared = Some(Prepared { listener, raft_id, node_id });
        Ok(node_id)
    }

    async fn start(&mut self, ground: Ground) -> Result<Arc<dyn Backend>, RoleError> {
        let prepared = self.prepared.take().ok_or("a server is prepared before it is started, once")?;
        let Ground { config, pool, wan, tags, writer, reader, tls, interface, authority, tasks } = ground;
        let RoleConfig::Server { expect, raft_multiplier, snapshot_entries, kept_entries } = config.role else {
            return Err("the configuration is not a server's".into());
        };
        let rpc = SocketAddr::new(config.advertise, config.listen.server).to_string();
        let address =
            ServerAddress { rpc: rpc.clone(), node_id: prepared.node_id, name: config.node_name.as_str().into() };
        let defaults = RaftSettings::new(prepared.raft_id, address.clone());
        let settings = RaftSettings {
            data_dir: config.data_dir.clone(),
            raft_multiplier,
            snapshot_entries: snapshot_entries.unwrap_or(defaults.snapshot_entries),
            kept_entries: kept_entries.unwrap_or(defaults.kept_entries),
            tls: tls.clone(),
            datacenter: config.datacenter.clone(),
            ..defaults
        };
        let fanout = Arc::new(Fanout::new());
        let sink: Arc<dyn ChangeSink> = fanout.clone();
        let raft = RaftNode::start(settings, writer, sink, &tasks).await?;
        self.raft = Some(raft.clone());

        let consensus: Arc<dyn Consensus> = Arc::new(raft.clone());
        let timers = SessionTimers::new(reader.clone());
        let archives = Archives::new(consensus.clone(), reader.clone(), &config.datacenter, config.data_dir.clone());
        let desk =
            Desk { sessions: timers.clone(), interface, archives: archives.clone(), authority: authority.clone() };
        let registry =
            RegistryService::new(consensus.clone(), reader.clone(), fanout, desk, &config.datacenter, &tasks);
        let own_client = || {
            let authority = authority.clone();
            let client = Client::secured(tls.clone(), &config.datacenter);
            client.of_node(config.node_name.as_str().into(), move || authority.own_credential())
        };
        let witness = Witness::new(registry.watchers(), own_client());
        serve(prepared.listener, &config, registry, &raft, &tls, &tasks);
        sessions::start(timers.clone(), raft.clone(), reader.clone(), &tasks);
        let datacenters = Datacenters::new(wan, FarServers::new(tls.clone()), &tasks);
        let client = own_client();
        let own =
            Own { consensus, sessions: timers, archives, address: rpc, datacenters, authority: authority.clone() };
        let backend = server_backend(own, client, reader.clone(), &tasks);
        let (replicating, replicated) = (raft.clone(), reader.clone());
        let duties = Duties {
            raft_id: prepared.raft_id,
            address,
            expect,
            data_dir: config.data_dir.clone(),
            datacenter: config.datacenter.clone(),
            tags,
            pool,
            raft,
            reader,
            witness,
            failing_nodes_share: config.gossip.failing_nodes_share,
            acl: config.acl.clone(),
        };
        duties.start(&tasks)?;
        let backend: Arc<dyn Backend> = Arc::new(backend);
        let replicator = Replicator {
            backend: backend.clone(),
            raft: replicating,
            reader: replicated,
            authority,
            tokens: config.acl.replicates_tokens,
        };
        replicator.start(&tasks);
        Ok(backend)
    }

    async fn hand_over(&mut self) {
        let Some(raft) = &self.raft else { return };
        // A leader that a majority no longer answers has nobody to hand over to.
        let (confirmed, _) = raft.contact();
        if raft.is_leader() && confirmed && raft.servers().len() > 1 {
            match tokio::time::timeout(HAND_OVER, raft.transfer_leadership(None)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::warn!(%error, "no other server has taken over; the others will elect one"),
                Err(_) => tracing::warn!("no other server has taken over in time; the others will elect one"),
            }
        }
    }

    async fn stop(&mut self) {
        if let Some(raft) = self.raft.take() {
            raft.shutdown().await;
        }
    }
}

/// Answers Raft, writes, barriers and watch streams on the RPC port.
fn serve(
    listener: TcpListener,
    config: &Config,
    registry: RegistryService,
    raft: &RaftNode,
    tls: &Arc<Tls>,
    tasks: &Tasks,
) {
    let registry = Admitted::new(Answering::nodes(registry.into_server()), tls, &config.datacenter);
    let raft = Admitted::new(raft.service(), tls, &config.datacenter);
    let router = grpc::server().add_service(registry).add_service(raft);
    tasks.spawn("RPC", grpc::serve(router, listener, tls.clone(), config.rpc_limits, tasks.stopping()));
}
