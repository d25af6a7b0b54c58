//! `?filter=` of `/v1/health/service/:name` for whoever tells of instances in another form than Consul's JSON.

use super::json::rows::InstanceRow;
use crate::{
    catalog::Instance,
    filter::{Filter, FilterError, schema},
};

/// A filter of instances. It judges the row that the HTTP interface would answer.
#[derive(Debug)]
pub struct InstanceFilter {
    filter: Filter,
    datacenter: String,
}

impl InstanceFilter {
    /// Reads an expression; the instances are of this datacenter. The empty text lets every instance through.
    ///
    /// # Errors
    /// What is wrong with `text`.
    pub fn parse(text: &str, datacenter: &str) -> Result<Self, FilterError> {
        Ok(Self { filter: Filter::parse(text, &schema::HEALTH_SERVICE)?, datacenter: datacenter.to_owned() })
    }

    /// Whether it lets the instance through.
    #[must_use]
    pub fn keeps(&self, instance: &Instance) -> bool {
        serde_json::to_value(InstanceRow::new(instance, &self.datacenter)).is_ok_and(|row| self.filter.matches(&row))
    }
}
