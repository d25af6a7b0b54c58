//! What the configuration says about the HTTP interface, checked: its headers, networks and sockets.

use ::http::{HeaderName, HeaderValue};
use smol_str::SmolStr;

use super::{error::ConfigError, partial::Partial};
use crate::http;

/// Tells callers that addresses of other datacenters' nodes are those of the WAN (`translate_wan_addrs`).
const TRANSLATES: HeaderName = HeaderName::from_static("x-consul-translate-addresses");

/// Who may do what by HTTP, and what its answers carry (`http_config`).
pub fn access(said: &Partial) -> Result<http::Access, ConfigError> {
    let header = |(name, value): (&SmolStr, &SmolStr)| match (name.parse(), value.parse()) {
        (Ok(name), Ok(value)) => Ok((name, value)),
        _ => {
            let problem = format!("{name:?}: {value:?} is no header (letters, digits and dashes; one line)");
            Err(ConfigError::setting("http_config.response_headers", problem))
        }
    };
    let network = |text: &String| {
        text.parse().map_err(|error: http::NoNetwork| {
            ConfigError::setting("http_config.allow_write_http_from", error.to_string())
        })
    };
    if let Some(path) = said.http_block_endpoints.iter().find(|path| !path.starts_with('/')) {
        let problem = format!("{path:?} is no path (it begins with a slash: /v1/agent)");
        return Err(ConfigError::setting("http_config.block_endpoints", problem));
    }
    let mut response_headers =
        said.http_response_headers.iter().map(header).collect::<Result<Vec<_>, ConfigError>>()?;
    if said.translate_wan_addrs == Some(true) {
        response_headers.push((TRANSLATES, HeaderValue::from_static("true")));
    }
    Ok(http::Access {
        blocked: said.http_block_endpoints.clone(),
        write_from: said.http_write_from.iter().map(network).collect::<Result<_, ConfigError>>()?,
        response_headers,
        translates_wan: said.translate_wan_addrs == Some(true),
    })
}

/// The web page (`ui_config`): on with `-dev`, and where it is asked for.
pub fn page(said: &Partial, dev: bool) -> Result<http::Page, ConfigError> {
    let named = said.ui_path.as_deref().map(|text| format!("/{}/", text.trim_matches('/')));
    let path = named.unwrap_or_else(|| http::Page::default().path);
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "/-_.".contains(letter);
    if path == "//" || path.starts_with("/v1/") || !path.chars().all(is_plain) {
        let problem = format!("{path:?} is no path for the page (letters, digits, dashes; not /v1: try /ui/)");
        return Err(ConfigError::setting("ui_config.content_path", problem));
    }
    let dashboard = said.ui_dashboard.as_deref().unwrap_or_default();
    if !dashboard.is_empty() && !dashboard.starts_with("http://") && !dashboard.starts_with("https://") {
        let problem = format!("{dashboard:?} is no address of a page (it begins with http:// or https://)");
        return Err(ConfigError::setting("ui_config.dashboard_url_templates", problem));
    }
    Ok(http::Page { is_on: said.ui.unwrap_or(dev), path, dashboard: dashboard.into() })
}

/// Whose the interface's sockets in the file system are (`unix_sockets`).
pub fn unix_sockets(said: &Partial) -> Result<http::Ownership, ConfigError> {
    let mode = said.unix_mode.as_deref().map(|text| {
        let mode = u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o777);
        mode.ok_or_else(|| ConfigError::setting("unix_sockets.mode", format!("{text:?} is no mode (such as \"0660\")")))
    });
    let owner = |setting, said: &Option<SmolStr>, file| {
        let found = said.as_deref().map(|text| {
            let id = text.parse().ok().or_else(|| id_of(file, text));
            id.ok_or_else(|| ConfigError::setting(setting, format!("{text:?} is neither an ID nor a name in {file}")))
        });
        found.transpose()
    };
    Ok(http::Ownership {
        user: owner("unix_sockets.user", &said.unix_user, "/etc/passwd")?,
        group: owner("unix_sockets.group", &said.unix_group, "/etc/group")?,
        mode: mode.transpose()?,
    })
}

/// The ID of a user or group by its name: the third field of its line in both files (passwd(5), group(5)).
fn id_of(file: &str, name: &str) -> Option<u32> {
    let text = std::fs::read_to_string(file).ok()?;
    let line = text.lines().find(|line| line.split(':').next() == Some(name))?;
    line.split(':').nth(2)?.parse().ok()
}
