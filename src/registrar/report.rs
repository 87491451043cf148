//! How hooks stand, and what was done about them.

use serde::Serialize;

use crate::bigcommerce::hooks::{Hook, WantedHook};

/// How one scope's hook stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HookState {
    /// As it should be.
    Healthy,
    /// There is none.
    Missing,
    /// BigCommerce has switched it off.
    Inactive,
    /// It points elsewhere.
    Elsewhere,
    /// It does not carry the relay's present token.
    WithoutToken,
    /// There is more than one.
    Doubled,
}

impl HookState {
    /// In a word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Healthy => "as it should be",
            Self::Missing => "missing",
            Self::Inactive => "inactive",
            Self::Elsewhere => "pointing elsewhere",
            Self::WithoutToken => "without the token",
            Self::Doubled => "there more than once",
        }
    }
}

/// What was done about one scope's hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Done {
    /// Nothing: it was as it should be.
    Kept,
    /// Made.
    Created,
    /// Put right.
    Mended,
}

impl Done {
    /// In a word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::Created => "created",
            Self::Mended => "mended",
        }
    }
}

/// One scope's hook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HookReport {
    /// The scope.
    pub scope: String,
    /// Its number, if there is one.
    pub id: Option<i64>,
    /// How it stands (or stood before it was put right).
    pub state: HookState,
}

impl HookReport {
    /// Of the relay's hooks for the scope, the one to keep first.
    pub(super) fn of(wanted: &WantedHook, ours: &[&Hook]) -> Self {
        let state = match ours {
            [] => HookState::Missing,
            [hook] if wanted.is_met_by(hook) => HookState::Healthy,
            [hook, ..] if wanted.is_met_by(hook) => HookState::Doubled,
            [hook, ..] if hook.destination != wanted.destination || hook.scope != wanted.scope => HookState::Elsewhere,
            [hook, ..] if !hook.is_active => HookState::Inactive,
            [_, ..] => HookState::WithoutToken,
        };
        Self { scope: wanted.scope.clone(), id: ours.first().map(|hook| hook.id), state }
    }
}
