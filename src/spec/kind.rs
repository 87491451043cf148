//! The origins of connections, and the kinds of stores and destinations. Each has a code for the database and a name
//! for people and programs.

use serde::{Deserialize, Serialize};

/// The way that a connection was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// By the environment's variables.
    Environment,
    /// By `POST /connections`, the operator's page or the command line.
    Api,
    /// By installing the single-click app.
    App,
    /// By the Cloud Elements API.
    Instance,
}

/// The kind of store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SourceKind {
    /// A BigCommerce store.
    BigCommerce,
    /// A WooCommerce shop.
    WooCommerce,
}

/// The kind of destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DestinationKind {
    /// A One Tribe payload URL.
    OneTribe,
    /// A Cloud Elements callback.
    CloudElements,
}

/// Defines code and name of each value in one place, for both directions.
macro_rules! codes {
    ($kind:ty { $($variant:ident $code:literal $name:literal)* }) => {
        impl $kind {
            /// The number that the database stores.
            pub fn code(self) -> i16 {
                match self { $(Self::$variant => $code,)* }
            }

            /// The value with this code.
            pub fn from_code(code: i16) -> Option<Self> {
                match code { $($code => Some(Self::$variant),)* _ => None }
            }

            /// The name in JSON, on pages and in commands.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }

        impl std::fmt::Display for $kind {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.name())
            }
        }

        impl std::str::FromStr for $kind {
            type Err = $crate::spec::UnknownName;

            fn from_str(name: &str) -> Result<Self, $crate::spec::UnknownName> {
                match name { $($name => Ok(Self::$variant),)* _ => Err($crate::spec::UnknownName) }
            }
        }
    };
}

pub(crate) use codes;

/// The text is none of the names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("unknown name")]
pub struct UnknownName;

codes!(Origin { Environment 0 "environment" Api 1 "api" App 2 "app" Instance 3 "instance" });
codes!(SourceKind { BigCommerce 0 "bigcommerce" WooCommerce 1 "woocommerce" });
codes!(DestinationKind { OneTribe 0 "one_tribe" CloudElements 1 "cloud_elements" });
