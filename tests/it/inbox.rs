//! The inbox: one contract for every engine, and what is particular to one.

mod postgres_model;
mod postgres_world;
