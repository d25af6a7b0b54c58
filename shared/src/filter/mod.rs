//! Consul's filter expressions.
