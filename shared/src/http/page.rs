//! The web page at `/ui/`: its files, which are part of the program, and what they may do.
//!
//! Every address below it that is no file's is the page's own matter and gets the page, so that a link to any of its views can
//! be shared. It runs no script and takes no style but its own, asks nobody but this agent, and is shown in no frame.

use std::{borrow::Cow, collections::BTreeMap, sync::OnceLock};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode, header};

use super::{
    Context, Failure,
    answer::{Answer, Fixed},
    route::Request,
};

/// Where the page is, unless the configuration says otherwise.
pub const PATH: &str = "/ui/";
/// What its addresses are relative to, as the page itself says.
const BASE: &str = "<base href=\"/ui/\">";

/// A path that no endpoint has.
const NOWHERE: &str = "//";

/// What may be loaded, and by whom it may be shown (Content Security Policy Level 3).
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'self'; \
     form-action 'none'; frame-ancestors 'none'",
);
const HEADERS: [(HeaderName, HeaderValue); 4] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    // Another version of the program has others under the same names.
    (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
];

/// What the configuration says about the page (`ui_config`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Whether it is there.
    pub is_on: bool,
    /// The path that it is found at, between slashes.
    pub path: String,
    /// The address of a service's dashboard elsewhere, with `{{Service.Name}}` and `{{Datacenter}}` in it; empty: none.
    pub dashboard: String,
}

impl Page {
    /// A path as the table of endpoints has it: the page is at `/ui/` there, wherever it is found, and nowhere else.
    pub(super) fn own_path<'a>(&self, path: &'a str) -> Cow<'a, str> {
        if self.path == PATH {
            return path.into();
        }
        match path.strip_prefix(self.path.trim_end_matches('/')) {
            Some("") => PATH.trim_end_matches('/').into(),
            Some(rest) if rest.starts_with('/') => format!("{PATH}{}", &rest[1..]).into(),
            _ if path.starts_with(PATH) || path == PATH.trim_end_matches('/') => NOWHERE.into(),
            _ => path.into(),
        }
    }
}

impl Default for Page {
    fn default() -> Self {
        Self { is_on: false, path: PATH.into(), dashboard: String::new() }
    }
}

macro_rules! files {
    ($($name:literal,)*) => {
        const FILES: &[(&str, &[u8])] =
            &[$(($name, include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/ui/", $name)))),*];
    };
}

files! {
    "index.html",
    "style.css",
    "icon.svg",
    "main.js",
    "lib/api.js",
    "lib/check.js",
    "lib/dom.js",
    "lib/live.js",
    "lib/parts.js",
    "lib/plot.js",
    "lib/route.js",
    "views/access.js",
    "views/access/edit.js",
    "views/access/item.js",
    "views/access/kinds.js",
    "views/access/list.js",
    "views/access/rules.js",
    "views/kv.js",
    "views/kv/editor.js",
    "views/kv/key.js",
    "views/kv/names.js",
    "views/kv/text.js",
    "views/nodes.js",
    "views/nodes/distances.js",
    "views/numbers.js",
    "views/overview.js",
    "views/queries.js",
    "views/queries/edit.js",
    "views/services.js",
    "views/sessions.js",
}

/// The page itself.
const INDEX: &str = "index.html";

/// `/`: where the page is, or that there is none.
pub(super) async fn root(context: &Context, _: &Request) -> Result<Answer, Failure> {
    let page = &context.settings.page;
    if !page.is_on {
        let how = "The web page is off: -ui, or ui_config { enabled = true }, turns it on.";
        return Ok(Answer::text(format!("Lictor. The interface is at /v1.\n{how}\n")));
    }
    let path = HeaderValue::from_str(&page.path).map_err(|_| Failure::NoEndpoint)?;
    Ok(Answer::empty().with_status(StatusCode::MOVED_PERMANENTLY).with_header(header::LOCATION, path))
}

/// A file of the page, or the page.
pub(super) async fn file(context: &Context, request: &Request) -> Result<Answer, Failure> {
    let page = &context.settings.page;
    if !page.is_on {
        return Err(Failure::NoEndpoint);
    }
    let files = answers(&page.path);
    // What has an ending is meant to be a file; a service may have one too, in the address of its view.
    let name = request.parameter.as_str();
    files.get(name).or_else(|| files.get(INDEX)).ok_or(Failure::NoEndpoint)?.again()
}

/// The files as answers, compressed once for all. All interfaces of an agent have the page at the same path.
fn answers(path: &str) -> &'static BTreeMap<&'static str, Fixed> {
    static ANSWERS: OnceLock<BTreeMap<&str, Fixed>> = OnceLock::new();
    ANSWERS.get_or_init(|| {
        let content = |name: &str, bytes: &'static [u8]| match name {
            INDEX => String::from_utf8_lossy(bytes).replace(BASE, &format!("<base href=\"{path}\">")).into(),
            _ => Bytes::from_static(bytes),
        };
        FILES.iter().map(|(name, bytes)| (*name, Fixed::new(answer(name, content(name, bytes))))).collect()
    })
}

fn answer(name: &str, content: Bytes) -> Answer {
    let kind = match name.rsplit_once('.').map_or("", |(_, ending)| ending) {
        "html" => "text/html; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "svg" => "image/svg+xml",
        _ => "application/octet-stream",
    };
    let answer = Answer::plain(content).with_header(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    HEADERS.into_iter().fold(answer, |answer, (name, value)| answer.with_header(name, value))
}

#[cfg(test)]
mod tests {
    use std::{io::Write, path::Path};

    use flate2::{Compression, write::GzEncoder};

    use super::*;

    #[test]
    fn every_file_of_the_page_is_in_the_program() {
        fn walk(directory: &Path, found: &mut Vec<String>, below: &str) {
            for entry in directory.read_dir().unwrap() {
                let entry = entry.unwrap();
                let name = format!("{below}{}", entry.file_name().to_str().unwrap());
                if entry.file_type().unwrap().is_dir() {
                    walk(&entry.path(), found, &format!("{name}/"));
                } else {
                    found.push(name);
                }
            }
        }
        let mut found = Vec::new();
        walk(&Path::new(env!("CARGO_MANIFEST_DIR")).join("ui"), &mut found, "");
        let mut listed: Vec<&str> = FILES.iter().map(|(name, _)| *name).collect();
        found.sort();
        listed.sort_unstable();
        assert_eq!(found, listed);
        assert!(FILES.iter().any(|(name, bytes)| *name == INDEX && String::from_utf8_lossy(bytes).contains(BASE)));
    }

    #[test]
    fn the_page_is_small() {
        // As it goes over the wire.
        let packed = |bytes: &[u8]| {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap().len()
        };
        let all: usize = FILES.iter().map(|(_, bytes)| packed(bytes)).sum();
        assert!(all < 150_000, "{all} bytes");
    }
}
