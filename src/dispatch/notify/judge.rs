//! Decides what to report of a claim once its object has been fetched: which kind of change, or none. Pure.

use crate::{
    clock::Timestamp,
    elements::change::RowFacts,
    inbox::Claim,
    object::{ChangeKind, Digest},
};

/// Whether an object is reported to the callback.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Judgement {
    /// It is reported as this kind of change, as of this time.
    Tell(ChangeKind, Timestamp),
    /// The callback already knows this state, or must not be told.
    Silent,
}

/// Judges an object whose row is there. `facts` is `None` if the row cannot be read. A creation is reported once; an
/// object older than the connection counts as updated; a deletion is reported only if the row confirms it.
pub(super) fn with_row(claim: &Claim, facts: Option<&RowFacts>, digest: Digest, begins_at: Timestamp) -> Judgement {
    let is_deleted = facts.is_some_and(|facts| facts.change == ChangeKind::Deleted);
    let is_denied = claim.change == ChangeKind::Deleted && !is_deleted;
    // A creation or a deletion is reported once, however many events it caused: while the row says the same, further
    // events belong to it.
    let is_untouched = facts.is_some_and(|facts| facts.change != ChangeKind::Updated);
    let is_wanted = claim.force || (claim.is_event && !is_denied && !is_untouched);
    if claim.digest == Some(digest) && !is_wanted {
        return Judgement::Silent;
    }
    // The store's dates have whole seconds.
    let began = begins_at.millis().div_euclid(1000) * 1000;
    let created = facts.and_then(|facts| facts.created);
    let is_older = created.is_some_and(|created| created.millis() < began);
    let is_new = created.is_some() && !is_older;
    if is_denied && !claim.was_told && !is_new && !claim.force {
        return Judgement::Silent;
    }
    let is_created = claim.change == ChangeKind::Created
        || facts.is_some_and(|facts| facts.change == ChangeKind::Created)
        || (is_denied && is_new);
    let change = match is_deleted {
        true => ChangeKind::Deleted,
        false if claim.was_told || is_older || !is_created => ChangeKind::Updated,
        false => ChangeKind::Created,
    };
    let at = facts.and_then(RowFacts::changed_at).unwrap_or(claim.waiting_since);
    Judgement::Tell(change, at)
}

/// Judges an object that the store does not know; `None` where it may only be too early. Where an event of a deletion
/// `may_be_foreign`, that of an object never reported is not reported either.
pub(super) fn without_object(claim: &Claim, may_be_foreign: bool) -> Option<Judgement> {
    match claim.change {
        ChangeKind::Deleted if may_be_foreign && !claim.was_told => Some(Judgement::Silent),
        ChangeKind::Deleted => Some(Judgement::Tell(ChangeKind::Deleted, claim.waiting_since)),
        _ => None,
    }
}

/// Judges an object that cannot be asked for by its id.
pub(super) fn unseen(claim: &Claim) -> Judgement {
    let change = match claim.change {
        ChangeKind::Created if claim.was_told => ChangeKind::Updated,
        change => change,
    };
    Judgement::Tell(change, claim.waiting_since)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::{ConnectionId, ObjectId, ObjectKey, ResourceName};

    const BEGINS: Timestamp = Timestamp::from_millis(1_700_000_000_500);
    const STATE: Digest = Digest([1; 16]);

    fn claim(change: ChangeKind, is_event: bool, was_told: bool, digest: Option<Digest>) -> Claim {
        Claim {
            key: ObjectKey { connection: ConnectionId(1), resource: ResourceName::orders(), id: ObjectId::Number(1) },
            owner: 1,
            claimed_version: 1,
            force: false,
            is_event,
            change,
            was_told,
            first_event_at: BEGINS,
            digest,
            attempts: 0,
            refused_ms: 0,
            missing_ms: 0,
            waiting_since: BEGINS,
            lease_until: BEGINS,
        }
    }

    fn facts(change: ChangeKind, created: i64) -> RowFacts {
        RowFacts {
            id: ObjectId::Number(1),
            status: None,
            updated: Some(Timestamp::from_seconds(1_700_000_100)),
            created: Some(Timestamp::from_seconds(created)),
            change,
            has_unreadable_date: false,
        }
    }

    fn told(claim: &Claim, facts: &RowFacts) -> Option<ChangeKind> {
        match with_row(claim, Some(facts), STATE, BEGINS) {
            Judgement::Tell(change, _) => Some(change),
            Judgement::Silent => None,
        }
    }

    #[test]
    fn changes_are_told_as_what_they_are() {
        use ChangeKind::{Created, Deleted, Updated};
        const NEW: i64 = 1_700_000_000;
        const OLD: i64 = 1_699_999_999;
        let old_state = Some(Digest([9; 16]));
        for (change, is_event, was_told, digest, row, created, expected, why) in [
            (Created, false, false, None, Created, NEW, Some(Created), "new"),
            (Created, false, false, None, Updated, NEW, Some(Created), "new, and changed before it was told of"),
            (Updated, false, false, None, Created, NEW, Some(Created), "new by its row"),
            (Created, true, true, old_state, Created, NEW, Some(Updated), "a creation is told once"),
            (Created, true, false, None, Created, OLD, Some(Updated), "older than the connection"),
            (Updated, false, false, None, Updated, NEW, Some(Updated), "beyond the tolerance"),
            (Updated, false, true, Some(STATE), Updated, NEW, None, "a look at what has not changed"),
            (Updated, true, true, Some(STATE), Updated, NEW, Some(Updated), "an event is told in any case"),
            (Updated, true, true, Some(STATE), Created, NEW, None, "one more event of the creation"),
            (Updated, false, true, old_state, Deleted, OLD, Some(Deleted), "deleted by its row"),
            (Deleted, true, true, Some(STATE), Deleted, OLD, None, "one more event of the deletion"),
            (Deleted, true, true, Some(STATE), Updated, OLD, None, "a deletion that the row denies"),
            (Deleted, true, true, old_state, Updated, OLD, Some(Updated), "denied, and changed"),
            (Deleted, true, false, None, Updated, OLD, None, "denied, and of no interest"),
            (Deleted, true, false, None, Updated, NEW, Some(Created), "denied, and new"),
        ] {
            assert_eq!(told(&claim(change, is_event, was_told, digest), &facts(row, created)), expected, "{why}");
        }
    }

    #[test]
    fn what_a_person_asks_for_is_told() {
        let mut forced = claim(ChangeKind::Updated, false, true, Some(STATE));
        forced.force = true;
        assert_eq!(told(&forced, &facts(ChangeKind::Updated, 1_700_000_000)), Some(ChangeKind::Updated));
    }

    #[test]
    fn what_the_store_does_not_know_is_deleted_only_where_that_was_said() {
        let told = Some(Judgement::Tell(ChangeKind::Deleted, BEGINS));
        for (was_told, may_be_foreign, expected) in
            [(false, false, told), (true, false, told), (true, true, told), (false, true, Some(Judgement::Silent))]
        {
            let deleted = claim(ChangeKind::Deleted, true, was_told, None);
            assert_eq!(without_object(&deleted, may_be_foreign), expected, "{was_told} {may_be_foreign}");
        }
        assert_eq!(without_object(&claim(ChangeKind::Updated, true, true, None), true), None);
        let Judgement::Tell(change, _) = unseen(&claim(ChangeKind::Created, false, true, None)) else {
            panic!("it is told of")
        };
        assert_eq!(change, ChangeKind::Updated);
    }
}
