//! What is done about hooks, each call in a turn.

use crate::{
    bigcommerce::hooks::{Hook, WantedHook},
    http::{CallError, Seen},
    inbox::InboxError,
};

use super::{Done, HookReport, HookState, Registrar, RegistrarError, note_name, turn::Turn};

impl Registrar {
    /// Makes, mends and removes whatever differs from what is wanted.
    pub(super) async fn put_right(
        &self,
        turn: &mut Turn<'_>,
        all_wanted: &[WantedHook],
    ) -> Result<Vec<(HookReport, Done)>, RegistrarError> {
        let hooks = self.connection.api.hooks().await?;
        let mut reports = Vec::new();
        for wanted in all_wanted {
            let ours = self.ours(&hooks, wanted).await?;
            let mut report = HookReport::of(wanted, &ours);
            let done = match report.id {
                None => self.create(turn, wanted, &mut report).await?,
                Some(id) if matches!(report.state, HookState::Healthy | HookState::Doubled) => {
                    self.note(wanted, id).await?;
                    if ours.len() > 1 { Done::Mended } else { Done::Kept }
                }
                Some(id) => self.mend(turn, id, wanted, &mut report).await?,
            };
            self.remove_doubles(turn, &ours).await?;
            if done != Done::Kept {
                tracing::info!(scope = %wanted.scope, hook = report.id, "the hook for {} was {}: {}", wanted.scope, report.state.name(), done.name());
            }
            reports.push((report, done));
        }
        for hook in self.obsolete(&hooks).await? {
            tracing::info!(scope = %hook.scope, hook = hook.id, "the hook for {} is no longer wanted: removed", hook.scope);
            self.retire(turn, hook).await?;
        }
        self.saw(reports.len()).await;
        Ok(reports)
    }

    /// Removes all that are the relay's. Returns how many.
    pub(super) async fn remove_all(
        &self,
        turn: &mut Turn<'_>,
        all_wanted: &[WantedHook],
    ) -> Result<usize, RegistrarError> {
        let hooks = self.connection.api.hooks().await?;
        let mut removed = 0;
        for wanted in all_wanted {
            for hook in self.ours(&hooks, wanted).await? {
                self.retire(turn, hook).await?;
                removed += 1;
            }
            self.inbox.keep_note(self.connection.id, &note_name(&wanted.scope), None).await?;
        }
        for hook in self.obsolete(&hooks).await? {
            self.retire(turn, hook).await?;
            removed += 1;
        }
        self.saw(0).await;
        Ok(removed)
    }

    async fn note(&self, wanted: &WantedHook, id: i64) -> Result<(), InboxError> {
        let name = note_name(&wanted.scope);
        let known = self.inbox.note(self.connection.id, &name).await?;
        if known.as_deref() == Some(&id.to_string()) {
            return Ok(());
        }
        self.inbox.keep_note(self.connection.id, &name, Some(id.to_string())).await
    }

    async fn create(
        &self,
        turn: &mut Turn<'_>,
        wanted: &WantedHook,
        report: &mut HookReport,
    ) -> Result<Done, RegistrarError> {
        let api = &self.connection.api;
        let mut made = turn.change(|token| api.create_hook(token, wanted)).await;
        if let Err(RegistrarError::Call(CallError { seen: Seen::Status(404 | 410), .. })) = made
            && api.leave_hooks_v2()
        {
            made = turn.change(|token| api.create_hook(token, wanted)).await;
        }
        match made {
            Ok(hook) => {
                report.id = Some(hook.id);
                self.note(wanted, hook.id).await?;
                // A call of somebody's whose turn is over may have come in between: then the first one stays.
                let hooks = api.hooks().await?;
                let ours = self.ours(&hooks, wanted).await?;
                if let Some(first) = ours.first() {
                    report.id = Some(first.id);
                    self.note(wanted, first.id).await?;
                }
                self.remove_doubles(turn, &ours).await?;
                Ok(Done::Created)
            }
            // Perhaps it is there already: what a duplicate is answered is not documented.
            Err(RegistrarError::Call(error @ CallError { seen: Seen::Status(400..=499), .. })) => {
                let hooks = api.hooks().await?;
                match self.ours(&hooks, wanted).await?.first() {
                    Some(hook) => self.mend(turn, hook.id, wanted, report).await,
                    None => Err(error.into()),
                }
            }
            Err(error) => Err(error),
        }
    }

    async fn mend(
        &self,
        turn: &mut Turn<'_>,
        id: i64,
        wanted: &WantedHook,
        report: &mut HookReport,
    ) -> Result<Done, RegistrarError> {
        report.id = Some(id);
        turn.change(|token| self.connection.api.update_hook(token, id, wanted)).await?;
        self.note(wanted, id).await?;
        Ok(Done::Mended)
    }

    async fn remove_one(&self, turn: &mut Turn<'_>, hook: &Hook) -> Result<(), RegistrarError> {
        turn.change(|token| self.connection.api.remove_hook(token, hook.id)).await
    }

    /// Leaves the first.
    async fn remove_doubles(&self, turn: &mut Turn<'_>, ours: &[&Hook]) -> Result<(), RegistrarError> {
        for hook in ours.iter().skip(1) {
            tracing::info!(scope = %hook.scope, hook = hook.id, "there was a second hook for {}: removed", hook.scope);
            self.remove_one(turn, hook).await?;
        }
        Ok(())
    }

    /// Removes a hook, and the note that it is the relay's.
    async fn retire(&self, turn: &mut Turn<'_>, hook: &Hook) -> Result<(), RegistrarError> {
        self.remove_one(turn, hook).await?;
        Ok(self.inbox.keep_note(self.connection.id, &note_name(&hook.scope), None).await?)
    }
}
