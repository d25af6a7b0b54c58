//! Which instances an application wants.

use lictor_proto::v1::{Position, Wanted, WatchServiceRequest};

/// A service and the conditions that its instances must meet: by default all that are not critical.
#[derive(Clone, Debug)]
pub struct Service {
    request: WatchServiceRequest,
}

impl Service {
    /// The instances of that name, in any letter case, that are not critical.
    #[must_use]
    pub fn named(name: &str) -> Self {
        let request =
            WatchServiceRequest { service: name.to_owned(), wanted: Wanted::Healthy.into(), ..Default::default() };
        Self { request }
    }

    /// Only those of which every check is passing.
    #[must_use]
    pub fn passing(mut self) -> Self {
        self.request.wanted = Wanted::Passing.into();
        self
    }

    /// Those that are critical too.
    #[must_use]
    pub fn in_any_health(mut self) -> Self {
        self.request.wanted = Wanted::All.into();
        self
    }

    /// Only those that have this tag, in any letter case; may be called for several, of which an instance has all.
    #[must_use]
    pub fn tagged(mut self, tag: &str) -> Self {
        self.request.tags.push(tag.to_owned());
        self
    }

    /// Only those that this expression lets through, such as `Service.Meta.version == "2"`.
    #[must_use]
    pub fn filtered(mut self, expression: &str) -> Self {
        expression.clone_into(&mut self.request.filter);
        self
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.request.service
    }

    /// The request of a watch that goes on from `resume`.
    pub(crate) fn request(&self, resume: Option<Position>) -> WatchServiceRequest {
        WatchServiceRequest { resume, ..self.request.clone() }
    }
}
