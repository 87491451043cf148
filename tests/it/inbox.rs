//! The inbox: one contract that every engine keeps, and tests of single engines.

mod key_requests;
mod model;
mod moving;
mod postgres_plans;
mod postgres_schema;
mod postgres_server;
mod postgres_shards;
mod postgres_tables;
mod postgres_tls;
mod postgres_world;
mod stress;
