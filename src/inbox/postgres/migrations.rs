//! The migrations of the tables.

use std::sync::LazyLock;

use sqlx::migrate::Migrator;

use crate::inbox::schema;

pub(super) static MIGRATIONS: LazyLock<Migrator> =
    LazyLock::new(|| schema::beside_newer(sqlx::migrate!("migrations/postgres")));
