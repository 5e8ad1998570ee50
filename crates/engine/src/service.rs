//! The service behind the HTTP API.
