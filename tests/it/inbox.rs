//! The inbox: one contract for every engine, and what is particular to one.

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
