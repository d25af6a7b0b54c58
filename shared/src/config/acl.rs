//! What is set about access control: the `acl` stanza, Consul's older keys, and `primary_datacenter`.

use std::time::Duration;

use smol_str::SmolStr;

use super::{decode::some_text, error::ConfigError, partial::Partial};
use crate::{
    acl::{Credential, DownPolicy, OwnTokens, Settings},
    agent::definition::{DefinitionError, Fields},
};

/// How old a sidecar's copy of tokens and policies may be before `down_policy` counts, unless `policy_ttl` says otherwise.
const STALENESS: Duration = Duration::from_secs(30);

/// What is set about access control.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Acl {
    /// What decides.
    pub settings: Settings,
    /// What this node shows to others.
    pub tokens: OwnTokens,
    /// The secret of a token that may do everything, put into the registry by the first leader; none: nothing.
    pub initial_management: Credential,
    /// Whether tokens that are set while the agent runs are kept in the data directory.
    pub keeps_tokens: bool,
    /// Whether a server of another than the primary datacenter copies global tokens, and not only policies and roles.
    pub replicates_tokens: bool,
}

/// Reads the keys.
pub(super) fn decode(fields: &mut Fields<'_>, partial: &mut Partial) -> Result<(), DefinitionError> {
    let or = |new: Option<SmolStr>, old: &mut Option<SmolStr>| *old = new.or(old.take());
    partial.primary_datacenter = some_text(fields, "acldatacenter")?;
    or(some_text(fields, "primarydatacenter")?, &mut partial.primary_datacenter);
    // To name it has always turned access control on.
    partial.acl_datacenter = Some(fields.has("acldatacenter")).filter(|named| *named);
    partial.acl_default_policy = some_text(fields, "acldefaultpolicy")?;
    partial.acl_down_policy = some_text(fields, "acldownpolicy")?;
    partial.acl_policy_ttl = fields.optional_duration("aclttl")?;
    partial.acl_key_list_policy = fields.optional_flag("aclenablekeylistpolicy")?;
    partial.acl_token_replication = fields.optional_flag("enableaclreplication")?;
    partial.acl_initial_management = some_text(fields, "aclmastertoken")?;
    partial.acl_default_token = some_text(fields, "acltoken")?;
    partial.acl_agent_token = some_text(fields, "aclagenttoken")?;
    partial.acl_recovery_token = some_text(fields, "aclagentmastertoken")?;
    partial.acl_replication_token = some_text(fields, "aclreplicationtoken")?;
    let Some(mut acl) = fields.fields("acl")? else { return Ok(()) };
    partial.acl_enabled = acl.optional_flag("enabled")?;
    or(some_text(&mut acl, "defaultpolicy")?, &mut partial.acl_default_policy);
    or(some_text(&mut acl, "downpolicy")?, &mut partial.acl_down_policy);
    let ttl =
        [acl.optional_duration("policyttl")?, acl.optional_duration("tokenttl")?, acl.optional_duration("rolettl")?];
    partial.acl_policy_ttl = ttl.into_iter().flatten().min().or(partial.acl_policy_ttl);
    partial.acl_key_list_policy = acl.optional_flag("enablekeylistpolicy")?.or(partial.acl_key_list_policy);
    partial.acl_token_replication = acl.optional_flag("enabletokenreplication")?.or(partial.acl_token_replication);
    partial.acl_token_persistence = acl.optional_flag("enabletokenpersistence")?;
    if let Some(mut tokens) = acl.fields("tokens")? {
        or(some_text(&mut tokens, "master")?, &mut partial.acl_initial_management);
        or(some_text(&mut tokens, "initialmanagement")?, &mut partial.acl_initial_management);
        or(some_text(&mut tokens, "default")?, &mut partial.acl_default_token);
        or(some_text(&mut tokens, "agent")?, &mut partial.acl_agent_token);
        or(some_text(&mut tokens, "agentmaster")?, &mut partial.acl_recovery_token);
        or(some_text(&mut tokens, "agentrecovery")?, &mut partial.acl_recovery_token);
        or(some_text(&mut tokens, "replication")?, &mut partial.acl_replication_token);
        partial.acl_dns_token = some_text(&mut tokens, "dns")?;
        tokens.ignore(&["configfileserviceregistration", "managedserviceprovider"]);
        tokens.finish().map_err(|error| error.within("acl: tokens"))?;
    }
    acl.ignore(&["disabledttl", "msp"]);
    acl.finish().map_err(|error| error.within("acl"))
}

/// What was said of it, at that node.
pub(super) fn acl(said: &Partial, datacenter: &str, node_name: &str, is_server: bool) -> Result<Acl, ConfigError> {
    let enabled = said.acl_enabled.or(said.acl_datacenter).unwrap_or(false);
    let allowed_otherwise = match said.acl_default_policy.as_deref() {
        None | Some("allow") => true,
        Some("deny") => false,
        Some(other) => {
            return Err(ConfigError::setting("acl.default_policy", format!("{other:?} is none (give allow or deny)")));
        }
    };
    let down_policy = match said.acl_down_policy.as_deref() {
        None | Some("extend-cache" | "async-cache") => DownPolicy::ExtendCache,
        Some("allow") => DownPolicy::Allow,
        Some("deny") => DownPolicy::Deny,
        Some(other) => {
            let problem = format!("{other:?} is none (give allow, deny, extend-cache or async-cache)");
            return Err(ConfigError::setting("acl.down_policy", problem));
        }
    };
    let secret = |said: &Option<SmolStr>| said.as_deref().map(Credential::new).unwrap_or_default();
    let initial_management = secret(&said.acl_initial_management);
    if !initial_management.is_none() && uuid::Uuid::try_parse(initial_management.expose()).is_err() {
        // The secret itself stands in no message.
        let problem = "the secret is no UUID (make one with uuidgen)";
        return Err(ConfigError::setting("acl.tokens.initial_management", problem));
    }
    Ok(Acl {
        settings: Settings {
            enabled,
            allowed_otherwise,
            down_policy,
            staleness: (!is_server).then_some(said.acl_policy_ttl.unwrap_or(STALENESS)),
            key_list_policy: said.acl_key_list_policy.unwrap_or(false),
            datacenter: datacenter.into(),
            primary_datacenter: said.primary_datacenter.clone().unwrap_or_default().to_lowercase().into(),
            node_name: node_name.into(),
        },
        tokens: OwnTokens {
            default: secret(&said.acl_default_token),
            agent: secret(&said.acl_agent_token),
            replication: secret(&said.acl_replication_token),
            recovery: secret(&said.acl_recovery_token),
            dns: secret(&said.acl_dns_token),
        },
        initial_management,
        keeps_tokens: said.acl_token_persistence.unwrap_or(false),
        replicates_tokens: said.acl_token_replication.unwrap_or(false),
    })
}
