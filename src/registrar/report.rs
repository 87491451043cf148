//! The state of hooks, and what was done about it.

use serde::Serialize;

use crate::{
    inbox::HookState,
    source::hooks::{Hook, WantedHook},
};

/// What was done about one topic's hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Done {
    /// Nothing: it was as wanted.
    Kept,
    /// It was created.
    Created,
    /// It was repaired.
    Mended,
}

impl Done {
    /// The name in logs and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::Created => "created",
            Self::Mended => "mended",
        }
    }
}

/// The hook for one topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HookReport {
    /// The topic (BigCommerce: scope).
    pub scope: String,
    /// The hook's id at the store, if there is a hook.
    pub id: Option<i64>,
    /// The hook's state, before any repair.
    pub state: HookState,
}

impl HookReport {
    /// Reports on the relay's hooks for the topic, the one to keep first. `has_secret` says whether a hook carries
    /// the relay's secret.
    pub(super) fn of(wanted: &WantedHook, ours: &[&Hook], has_secret: impl Fn(&Hook) -> bool) -> Self {
        let state = match ours {
            [] => HookState::Missing,
            [hook, ..] if !hook.points_to(&wanted.destination) || hook.topic != wanted.topic => HookState::Elsewhere,
            [hook, ..] if !hook.is_active => HookState::Inactive,
            [hook, ..] if !has_secret(hook) => HookState::WithoutToken,
            [_] => HookState::Healthy,
            [_, ..] => HookState::Doubled,
        };
        Self { scope: wanted.topic.clone(), id: ours.first().map(|hook| hook.id), state }
    }
}
