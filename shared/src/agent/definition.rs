//! Services and checks as people write them, in files and in request bodies, made into what the agent keeps.
//!
//! Decoding also fills in what is left out (IDs, names, weights, tagged addresses) and refuses what makes no sense,
//! in the sentences Consul's clients know. It never asks whether a check can be run here: [`super::check`] does.

use std::collections::BTreeMap;

use serde_json::Value;
use smol_str::{SmolStr, format_smolstr};

#[cfg(test)]
pub(crate) use super::fields::{ASKED, Asked};
pub use super::fields::{DefinitionError, Fields, Strictness, fold};
use crate::{
    acl::Credential,
    command::sizes::{self, PAIR_KEY_BYTES, PAIR_VALUE_BYTES, PAIRS},
    model::{CheckDefinition, CheckId, Meta, Service, ServiceAddress, ServiceId, Status, Weights},
};

/// Keys of the service mesh, which is not part of Lictor: accepted and ignored.
const MESH_KEYS: [&str; 8] = ["connect", "proxy", "kind", "socketpath", "namespace", "ns", "partition", "locality"];
/// The largest weight an SRV record can carry.
const WEIGHT_MAX: i64 = 65_535;

/// A service with its checks. The service's `node` and `origin` are for the agent to fill in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceDefinition {
    /// The instance.
    pub service: Service,
    /// Its checks; their IDs and names are filled in.
    pub checks: Vec<CheckRegistration>,
    /// The file it is written in; empty: none.
    pub file: SmolStr,
    /// By whose right it is written to the registry; none: whoever registers it.
    pub token: Credential,
}

/// A check of the node or of one of its services.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckRegistration {
    /// Unique on the node.
    pub id: CheckId,
    /// For people.
    pub name: SmolStr,
    /// For people.
    pub notes: SmolStr,
    /// The service it is about; empty: the node.
    pub service_id: ServiceId,
    /// Its state until the first run; critical where not given.
    pub status: Option<Status>,
    /// What to run.
    pub definition: CheckDefinition,
    /// Whether it was written inside its service. Consul shows no interval and timeout of zero for those.
    pub nested: bool,
    /// The file it is written in; empty: none.
    pub file: SmolStr,
    /// By whose right it is written to the registry; none: whoever registers it.
    pub token: Credential,
}

impl ServiceDefinition {
    /// Reads the body of a registration; keys in any letter case, unknown ones ignored.
    ///
    /// # Errors
    /// [`DefinitionError`], with the sentence to answer.
    pub fn from_json(value: &Value) -> Result<Self, DefinitionError> {
        Self::read(value, Strictness::Body)
    }

    /// Reads a `service` stanza of a file; unknown keys are errors.
    ///
    /// # Errors
    /// [`DefinitionError`]; its `explain` names the service, the check and the key.
    pub fn from_file(value: &Value) -> Result<Self, DefinitionError> {
        let name = Fields::of(value, Strictness::File)?.text("name").unwrap_or_default();
        Self::read(value, Strictness::File).map_err(|error| error.within(format!("service {:?}", name.as_str())))
    }

    fn read(value: &Value, strictness: Strictness) -> Result<Self, DefinitionError> {
        let mut fields = Fields::of(value, strictness)?;
        let given = fields.one_or_several("check", "checks")?;
        let mut service = read_service(&mut fields)?;
        let token = Credential::new(&fields.text("token")?);
        warn_of_ignored(fields.ignore(&MESH_KEYS), &service.name, strictness);
        fields.finish()?;

        let mut checks = Vec::new();
        for (number, check) in given.into_iter().enumerate() {
            let place = format!("check {}", number + 1);
            let mut check = Fields::of(check, strictness).map_err(|error| error.within(&place))?;
            checks.push(
                read_check(&mut check).and_then(|read| check.finish().map(|()| read)).map_err(|e| e.within(&place))?,
            );
        }
        finish_service(&mut service)?;
        let count = checks.len();
        for (number, check) in checks.iter_mut().enumerate() {
            validate_check(check, "Status for checks must 'passing', 'warning', 'critical'")
                .map_err(|error| error.within(format!("check {}", number + 1)))?;
            let check = &mut check.registration;
            check.nested = true;
            check.service_id = service.id.clone();
            if check.name.is_empty() {
                check.name = format_smolstr!("Service '{}' check", service.name);
            }
            if check.id.is_empty() && count == 1 {
                check.id = CheckId(format_smolstr!("service:{}", service.id));
            } else if check.id.is_empty() {
                check.id = CheckId(format_smolstr!("service:{}:{}", service.id, number + 1));
            }
        }
        let checks: Vec<CheckRegistration> = checks.into_iter().map(|check| check.registration).collect();
        refuse_repeated_ids(&checks)?;
        Ok(Self { service, checks, file: SmolStr::default(), token })
    }
}

fn refuse_repeated_ids(checks: &[CheckRegistration]) -> Result<(), DefinitionError> {
    let mut seen = BTreeMap::new();
    for check in checks {
        if seen.insert(check.id.key(), ()).is_some() {
            return Err(DefinitionError::invalid(format!("Invalid check: the ID {:?} is used twice", &*check.id)));
        }
    }
    Ok(())
}

impl CheckRegistration {
    /// Reads the body of a check's registration; keys in any letter case, unknown ones ignored.
    ///
    /// # Errors
    /// [`DefinitionError`], with the sentence to answer.
    pub fn from_json(value: &Value) -> Result<Self, DefinitionError> {
        Self::read(value, Strictness::Body)
    }

    /// Reads a `check` stanza of a file; unknown keys are errors.
    ///
    /// # Errors
    /// [`DefinitionError`]; its `explain` names the check and the key.
    pub fn from_file(value: &Value) -> Result<Self, DefinitionError> {
        let mut named = Fields::of(value, Strictness::File)?;
        let names = ["name", "id", "checkid"].map(|key| named.text(key).unwrap_or_default());
        let name = names.into_iter().find(|name| !name.is_empty()).unwrap_or_default();
        Self::read(value, Strictness::File).map_err(|error| error.within(format!("check {:?}", name.as_str())))
    }

    fn read(value: &Value, strictness: Strictness) -> Result<Self, DefinitionError> {
        let mut fields = Fields::of(value, strictness)?;
        let mut check = read_check(&mut fields)?;
        check.registration.token = Credential::new(&fields.text("token")?);
        warn_of_ignored(fields.ignore(&MESH_KEYS), &check.registration.name, strictness);
        fields.finish()?;
        if check.registration.name.is_empty() {
            return Err(DefinitionError::invalid("Missing check name"));
        }
        validate_check(&check, "Bad check status")?;
        if check.registration.id.is_empty() {
            check.registration.id = CheckId(check.registration.name.clone());
        }
        Ok(check.registration)
    }
}

fn warn_of_ignored(ignored: Vec<&str>, name: &str, strictness: Strictness) {
    if strictness == Strictness::File && !ignored.is_empty() {
        tracing::warn!(of = name, keys = ignored.join(", "), "keys of the service mesh are ignored");
    }
}

fn read_service(fields: &mut Fields<'_>) -> Result<Service, DefinitionError> {
    let id = fields.text("id")?;
    Ok(Service {
        id: ServiceId(id),
        name: fields.text("name")?.into(),
        tags: fields.texts("tags")?,
        address: fields.text("address")?,
        port: fields.number("port")?.unwrap_or_default(),
        meta: fields.map("meta")?,
        tagged_addresses: tagged_addresses(fields)?,
        weights: weights(fields)?,
        enable_tag_override: fields.flag("enabletagoverride")?,
        ..Service::default()
    })
}

/// Reads `TaggedAddresses` of a service: a map from a network's name to an address and port.
///
/// # Errors
/// When it has another shape.
pub fn tagged_addresses(fields: &mut Fields<'_>) -> Result<BTreeMap<SmolStr, ServiceAddress>, DefinitionError> {
    let mut addresses = BTreeMap::new();
    let strictness = fields.strictness();
    for (network, value) in fields.object("taggedaddresses")? {
        let read = || {
            let mut fields = Fields::of(value, strictness)?;
            let address = fields.text("address")?;
            let port = fields.number("port")?.unwrap_or_default();
            fields.finish().map(|()| ServiceAddress { address, port })
        };
        addresses.insert(network.into(), read().map_err(|error| error.within(format!("tagged address {network:?}")))?);
    }
    Ok(addresses)
}

/// Reads `Weights` of a service; 1 and 1 where absent.
///
/// # Errors
/// When it has another shape or Consul's limits are passed.
pub fn weights(fields: &mut Fields<'_>) -> Result<Weights, DefinitionError> {
    let in_file = fields.strictness() == Strictness::File;
    let Some(mut fields) = fields.fields("weights")? else { return Ok(Weights::default()) };
    let absent = i64::from(in_file);
    let passing = fields.number("passing")?.unwrap_or(absent);
    let warning = fields.number("warning")?.unwrap_or(absent);
    fields.finish()?;
    let invalid = |what| Err(DefinitionError::invalid(format!("Invalid Weights: {what}")));
    if passing < 1 {
        return invalid("Passing must be greater than 0");
    }
    if warning < 0 {
        return invalid("Warning must be greater or equal than 0");
    }
    match (u32::try_from(passing), u32::try_from(warning)) {
        (Ok(passing), Ok(warning)) if i64::from(passing.max(warning)) <= WEIGHT_MAX => Ok(Weights { passing, warning }),
        _ => invalid("DNS Weight must be between 0 and 65535"),
    }
}

fn finish_service(service: &mut Service) -> Result<(), DefinitionError> {
    if service.name.is_empty() {
        return Err(DefinitionError::invalid("Missing service name"));
    }
    let ip = service.address.parse::<std::net::IpAddr>().ok();
    if ip.is_some_and(|ip| ip.is_unspecified()) {
        return Err(DefinitionError::invalid("Invalid service address"));
    }
    validate_meta(&service.meta)?;
    sizes::service(service).map_err(|error| DefinitionError::invalid(error.to_string()))?;
    if service.id.is_empty() {
        service.id = ServiceId(service.name.0.clone());
    }
    if let Some(ip) = ip {
        let networks = if ip.is_ipv4() { ["lan_ipv4", "wan_ipv4"] } else { ["lan_ipv6", "wan_ipv6"] };
        for network in networks {
            let same = || ServiceAddress { address: service.address.clone(), port: service.port };
            service.tagged_addresses.entry(network.into()).or_insert_with(same);
        }
    }
    Ok(())
}

/// Says that free pairs keep Consul's limits: 64 of them, keys of 128 letters, digits, `-` and `_`, values of 512 bytes.
///
/// # Errors
/// The sentence to answer.
pub fn validate_meta(meta: &Meta) -> Result<(), DefinitionError> {
    let invalid = |what: String| Err(DefinitionError::invalid(format!("Invalid Service Meta: {what}")));
    if meta.len() > PAIRS {
        return invalid(format!("Node metadata cannot contain more than {PAIRS} key/value pairs"));
    }
    for (key, value) in meta {
        let pair = format!("Couldn't load metadata pair ('{key}', '{value}')");
        if key.is_empty() {
            return invalid(format!("{pair}: Key cannot be blank"));
        }
        if !key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_') {
            return invalid(format!("{pair}: Key contains invalid characters"));
        }
        if key.len() > PAIR_KEY_BYTES {
            return invalid(format!("{pair}: Key is too long (limit: {PAIR_KEY_BYTES} characters)"));
        }
        if value.len() > PAIR_VALUE_BYTES {
            return invalid(format!("{pair}: Value is too long (limit: {PAIR_VALUE_BYTES} characters)"));
        }
    }
    Ok(())
}

/// A check as it was read, before it was validated.
struct ReadCheck {
    registration: CheckRegistration,
    status: SmolStr,
}

fn read_check(fields: &mut Fields<'_>) -> Result<ReadCheck, DefinitionError> {
    let (id, check_id) = (fields.text("id")?, fields.text("checkid")?);
    let status = fields.text("status")?;
    let registration = CheckRegistration {
        id: CheckId(if check_id.is_empty() { id } else { check_id }),
        name: fields.text("name")?,
        notes: fields.text("notes")?,
        service_id: ServiceId(fields.text("serviceid")?),
        status: Status::parse(&status),
        definition: check_definition(fields)?,
        nested: false,
        file: SmolStr::default(),
        token: Credential::none(),
    };
    Ok(ReadCheck { registration, status })
}

/// Reads what a check runs and how often, from the object that holds it.
///
/// # Errors
/// When a field has another shape.
pub fn check_definition(fields: &mut Fields<'_>) -> Result<CheckDefinition, DefinitionError> {
    let (args, script_args) = (fields.texts("args")?, fields.texts("scriptargs")?);
    let deregister = fields.duration("deregistercriticalserviceafter")?;
    let h2ping = fields.text("h2ping")?;
    Ok(CheckDefinition {
        http: fields.text("http")?,
        header: fields.map_of_texts("header")?,
        method: fields.text("method")?,
        body: fields.text("body")?,
        disable_redirects: fields.flag("disableredirects")?,
        tls_server_name: fields.text("tlsservername")?,
        tls_skip_verify: fields.flag("tlsskipverify")?,
        tcp: fields.text("tcp")?,
        udp: fields.text("udp")?,
        grpc: fields.text("grpc")?,
        grpc_use_tls: fields.flag("grpcusetls")?,
        h2ping_use_tls: fields.optional_flag("h2pingusetls")?.unwrap_or(!h2ping.is_empty()),
        h2ping,
        script_args: if args.is_empty() { script_args } else { args },
        docker_container_id: fields.text("dockercontainerid")?,
        shell: fields.text("shell")?,
        alias_node: fields.text("aliasnode")?,
        alias_service: fields.text("aliasservice")?,
        os_service: fields.text("osservice")?,
        ttl: fields.duration("ttl")?,
        interval: fields.duration("interval")?,
        timeout: fields.duration("timeout")?,
        deregister_critical_service_after: deregister,
        output_max_size: fields.number("outputmaxsize")?.unwrap_or_default(),
        success_before_passing: fields.number("successbeforepassing")?.unwrap_or_default(),
        failures_before_warning: fields.number("failuresbeforewarning")?.unwrap_or_default(),
        failures_before_critical: fields.number("failuresbeforecritical")?.unwrap_or_default(),
    })
}

fn validate_check(check: &ReadCheck, bad_status: &str) -> Result<(), DefinitionError> {
    let ReadCheck { registration: CheckRegistration { id, name, notes, definition, .. }, .. } = check;
    sizes::check_definition(id, name, notes, definition)
        .map_err(|error| DefinitionError::invalid(error.to_string()))?;
    let definition = &check.registration.definition;
    let invalid = |what| Err(DefinitionError::invalid(format!("Invalid check: {what}")));
    let by_interval = ["http", "tcp", "udp", "grpc", "h2ping", "script", "docker", "os_service"];
    let kind = super::check::kind_name(definition);
    let (runs, follows) = (by_interval.contains(&kind), kind == "alias");
    if !definition.interval.is_zero() && !definition.ttl.is_zero() {
        return invalid("Interval and TTL cannot both be specified");
    }
    if runs && definition.interval.is_zero() {
        return invalid("Interval must be > 0 for Script, HTTP, H2PING, or TCP checks");
    }
    if follows && !definition.ttl.is_zero() {
        return invalid("TTL must be not be set for Alias checks");
    }
    if !runs && !follows && definition.ttl.is_zero() {
        return invalid("TTL must be > 0 for TTL checks");
    }
    if !check.status.is_empty() && check.registration.status.is_none() {
        return Err(DefinitionError::invalid(bad_status));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;

    #[test]
    fn a_service_is_read_in_any_spelling_and_completed() {
        let bodies = [
            json!({"Name": "web", "Address": "10.0.0.9", "Port": 80, "EnableTagOverride": true, "Tags": ["a"],
                   "Check": {"HTTP": "http://x/", "Interval": "10s", "DeregisterCriticalServiceAfter": "90m"}}),
            json!({"name": "web", "address": "10.0.0.9", "port": 80, "enable_tag_override": true, "tags": ["a"],
                   "check": {"http": "http://x/", "interval": "10s", "deregister_critical_service_after": "90m"}}),
        ];
        for body in bodies {
            let read = ServiceDefinition::from_file(&body).unwrap();
            assert_eq!(read, ServiceDefinition::from_json(&body).unwrap());
            assert_eq!(&*read.service.id, "web");
            assert!(read.service.enable_tag_override);
            assert_eq!(read.service.weights, Weights { passing: 1, warning: 1 });
            let address = ServiceAddress { address: "10.0.0.9".into(), port: 80 };
            assert_eq!(read.service.tagged_addresses["lan_ipv4"], address);
            assert_eq!(read.service.tagged_addresses["wan_ipv4"], address);
            let check = &read.checks[0];
            assert_eq!((&*check.id, &*check.name, &*check.service_id), ("service:web", "Service 'web' check", "web"));
            assert_eq!(check.definition.deregister_critical_service_after, Duration::from_secs(5400));
        }
    }

    #[test]
    fn checks_without_an_id_are_numbered() {
        let body = json!({"Name": "api", "ID": "api-1", "Checks": [
            {"Name": "ttl", "CheckID": "api-ttl", "TTL": "60s"}, {"TTL": "60s", "Status": "passing"}]});
        let checks = ServiceDefinition::from_json(&body).unwrap().checks;
        assert_eq!(checks.iter().map(|c| &*c.id).collect::<Vec<_>>(), ["api-ttl", "service:api-1:2"]);
        assert_eq!(checks[1].name, "Service 'api' check");
        assert_eq!(checks[1].status, Some(Status::Passing));
    }

    #[test]
    fn a_number_in_a_body_is_nanoseconds() {
        let check = CheckRegistration::from_json(&json!({"Name": "c", "TTL": 1_500_000_000_u64})).unwrap();
        assert_eq!(check.definition.ttl, Duration::from_millis(1500));
        assert_eq!((&*check.id, check.status), ("c", None));
    }

    #[test]
    fn a_bad_body_is_answered_in_consuls_words() {
        for (body, sentence) in [
            (json!({"Port": 1}), "Missing service name"),
            (json!({"Name": "x", "Check": {"Interval": "10s"}}), "Invalid check: TTL must be > 0 for TTL checks"),
            (
                json!({"Name": "x", "Check": {"HTTP": "http://127.0.0.1:1/"}}),
                "Invalid check: Interval must be > 0 for Script, HTTP, H2PING, or TCP checks",
            ),
            (
                json!({"Name": "x", "Check": {"TCP": "127.0.0.1:1", "Interval": "nonsense"}}),
                "time: invalid duration \"nonsense\"",
            ),
            (
                json!({"Name": "x", "Weights": {"Passing": -1, "Warning": 0}}),
                "Invalid Weights: Passing must be greater than 0",
            ),
            (
                json!({"Name": "x", "Check": {"TTL": "1s", "Status": "bogus"}}),
                "Status for checks must 'passing', 'warning', 'critical'",
            ),
            (json!({"Name": "x", "Address": "0.0.0.0"}), "Invalid service address"),
            (json!({"Name": "x", "Port": 70_000}), "Port: expected a number in range, found 70000"),
            (json!({"Name": "x", "Tags": "a"}), "Tags: expected a list of strings, found a string"),
            (json!(["x"]), "the definition: expected an object, found a list"),
            (
                json!({"Name": "x", "Checks": [{"TTL": "1s", "CheckID": "a"}, {"TTL": "1s", "CheckID": "A"}]}),
                "Invalid check: the ID \"A\" is used twice",
            ),
            (
                json!({"Name": "x", "Meta": {"a b": "c"}}),
                "Invalid Service Meta: Couldn't load metadata pair ('a b', 'c'): Key contains invalid characters",
            ),
        ] {
            assert_eq!(ServiceDefinition::from_json(&body).unwrap_err().to_string(), sentence, "{body}");
        }
        for (body, sentence) in [
            (json!({"TTL": "10s"}), "Missing check name"),
            (json!({"Name": "x", "TTL": "10s", "Status": "bogus"}), "Bad check status"),
            (
                json!({"Name": "x", "TTL": "1s", "Interval": "1s"}),
                "Invalid check: Interval and TTL cannot both be specified",
            ),
        ] {
            assert_eq!(CheckRegistration::from_json(&body).unwrap_err().to_string(), sentence, "{body}");
        }
    }

    #[test]
    fn a_bad_stanza_is_explained_with_its_place() {
        for (stanza, sentence) in [
            (
                json!({"name": "hello", "check": {"tcp": "127.0.0.1:1", "interval": "10"}}),
                r#"service "hello": check 1: interval: "10" has no unit (try "10s")"#,
            ),
            (
                json!({"name": "hello", "checks": [{"ttl": "1s"}, {"ttl": 10}]}),
                r#"service "hello": check 2: ttl: "10" has no unit (try "10s")"#,
            ),
            (json!({"name": "hello", "prot": 1}), r#"service "hello": unknown key "prot" (did you mean "port"?)"#),
            (
                json!({"name": "hello", "check": {"ttl": "1s", "Timeuot": "1s"}}),
                r#"service "hello": check 1: unknown key "Timeuot" (did you mean "timeout"?)"#,
            ),
        ] {
            assert_eq!(ServiceDefinition::from_file(&stanza).unwrap_err().explain(), sentence);
        }
        assert!(ServiceDefinition::from_json(&json!({"name": "hello", "prot": 1})).is_ok());
    }
}
