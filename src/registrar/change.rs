//! Changes to hooks; each call is made under the lock.

use super::{Care, Done, HookReport, Registrar, RegistrarError, Wish, lock::HookLock};
use crate::{
    connection::Connection,
    http::{CallError, Failure},
    inbox::{HookRow, HookState},
    source::{
        Source,
        hooks::{Hook, WantedHook},
    },
};

impl Registrar {
    /// Creates, repairs and removes hooks until they are as wanted.
    pub(super) async fn put_right(
        &self,
        lock: &mut HookLock<'_>,
        wish: &Wish<'_>,
        care: &Care,
    ) -> Result<Vec<(HookReport, Done)>, RegistrarError> {
        let hooks = wish.link.source.hooks(&wish.tokens).await?;
        let mut reports = Vec::new();
        for wanted in &wish.hooks {
            let ours = wish.ours(&hooks, wanted);
            let mut report = wish.report(wanted, &ours, care);
            let done = match report.id {
                None => self.create(lock, wish, wanted, &mut report, care).await?,
                Some(id) if matches!(report.state, HookState::Healthy | HookState::Doubled) => {
                    self.keep(wish.connection.id, wanted, Some(id), HookState::Healthy).await?;
                    if ours.len() > 1 { Done::Mended } else { Done::Kept }
                }
                Some(id) => self.mend(lock, wish, id, wanted, care).await?,
            };
            remove_doubles(lock, wish, &ours).await?;
            if done != Done::Kept {
                log_change(wish.connection, &report, done);
            }
            reports.push((report, done));
        }
        for hook in wish.obsolete(&hooks) {
            let connection = wish.connection.id;
            tracing::info!(%connection, hook = hook.id, "connection {connection}: a hook that is no longer wanted is removed");
            self.retire(lock, wish, hook).await?;
        }
        let is_wanted = |row: &&HookRow| wish.hooks.iter().any(|wanted| wanted.topic == row.topic);
        for row in wish.kept.iter().filter(|row| !is_wanted(row)) {
            self.inbox.remove_hook(wish.connection.id, &row.topic).await?;
        }
        Ok(reports)
    }

    /// Removes all of the relay's hooks. Returns how many.
    pub(super) async fn remove_all(&self, lock: &mut HookLock<'_>, wish: &Wish<'_>) -> Result<usize, RegistrarError> {
        let hooks = wish.link.source.hooks(&wish.tokens).await?;
        let mut removed = 0;
        for wanted in &wish.hooks {
            for hook in wish.ours(&hooks, wanted) {
                self.retire(lock, wish, hook).await?;
                removed += 1;
            }
            self.inbox.remove_hook(wish.connection.id, &wanted.topic).await?;
        }
        for hook in wish.obsolete(&hooks) {
            self.retire(lock, wish, hook).await?;
            removed += 1;
        }
        Ok(removed)
    }

    async fn create(
        &self,
        lock: &mut HookLock<'_>,
        wish: &Wish<'_>,
        wanted: &WantedHook,
        report: &mut HookReport,
        care: &Care,
    ) -> Result<Done, RegistrarError> {
        let (source, id) = (&wish.link.source, wish.connection.id);
        let mut made = lock.change(|permit| source.create_hook(permit, wanted)).await;
        if let Err(RegistrarError::Call(CallError { failure: Failure::Status(404 | 410), .. })) = made
            && has_left_old_api(source)
        {
            made = lock.change(|permit| source.create_hook(permit, wanted)).await;
        }
        match made {
            Ok(hook) => {
                care.written.lock().insert(hook);
                report.id = Some(hook);
                self.keep(id, wanted, Some(hook), HookState::Healthy).await?;
                // A late call of a process that has lost the lock may have made another hook meanwhile: then the
                // first one stays.
                let hooks = source.hooks(&wish.tokens).await?;
                let ours = wish.ours(&hooks, wanted);
                if let Some(first) = ours.first().filter(|first| first.id != hook) {
                    report.id = Some(first.id);
                    self.keep(id, wanted, Some(first.id), HookState::Healthy).await?;
                }
                remove_doubles(lock, wish, &ours).await?;
                Ok(Done::Created)
            }
            // It may exist already: the answer to a duplicate is not documented.
            Err(RegistrarError::Call(error @ CallError { failure: Failure::Status(400..=499), .. })) => {
                let hooks = source.hooks(&wish.tokens).await?;
                let first = wish.ours(&hooks, wanted).first().map(|hook| hook.id);
                report.id = first;
                match first {
                    Some(hook) => self.mend(lock, wish, hook, wanted, care).await,
                    None => Err(error.into()),
                }
            }
            Err(error) => Err(error),
        }
    }

    async fn mend(
        &self,
        lock: &mut HookLock<'_>,
        wish: &Wish<'_>,
        hook: i64,
        wanted: &WantedHook,
        care: &Care,
    ) -> Result<Done, RegistrarError> {
        lock.change(|permit| wish.link.source.update_hook(permit, hook, wanted)).await?;
        care.written.lock().insert(hook);
        self.keep(wish.connection.id, wanted, Some(hook), HookState::Healthy).await?;
        Ok(Done::Mended)
    }

    /// Removes a hook and its row.
    async fn retire(&self, lock: &mut HookLock<'_>, wish: &Wish<'_>, hook: &Hook) -> Result<(), RegistrarError> {
        lock.change(|permit| wish.link.source.remove_hook(permit, hook.id)).await?;
        Ok(self.inbox.remove_hook(wish.connection.id, &hook.topic).await?)
    }
}

/// Switches to V3 for good: a store that answers 404 or 410 when a hook is created has no V2 hooks any more. False if
/// it had switched already.
fn has_left_old_api(source: &Source) -> bool {
    match source {
        Source::BigCommerce(store) => store.leave_hooks_v2(),
        Source::WooCommerce(_) => false,
    }
}

/// Removes all but the first.
async fn remove_doubles(lock: &mut HookLock<'_>, wish: &Wish<'_>, ours: &[&Hook]) -> Result<(), RegistrarError> {
    for hook in ours.iter().skip(1) {
        let connection = wish.connection.id;
        tracing::info!(%connection, hook = hook.id, "connection {connection}: a second hook for one topic is removed");
        lock.change(|permit| wish.link.source.remove_hook(permit, hook.id)).await?;
    }
    Ok(())
}

fn log_change(connection: &Connection, report: &HookReport, done: Done) {
    let (id, topic) = (connection.id, &report.scope);
    tracing::info!(
        connection = %id, %topic, hook = report.id, was = report.state.code(), done = done.name(),
        "connection {id}: the hook for {topic} was {}: {}", report.state.code(), done.name()
    );
}
