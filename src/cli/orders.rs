//! `orders list|resend`

use std::process::ExitCode;

use clap::{ArgGroup, Subcommand};

use super::{Failure, output};
use crate::{
    app::Parts,
    clock::Timestamp,
    event::OrderId,
    inbox::{OrderQuery, OrderState},
    words,
};

/// What to do with orders.
#[derive(Debug, Subcommand)]
pub enum OrdersCommand {
    /// List orders as the relay knows them, the newest first
    List {
        /// Only this state: pending, delivered, failed, gone or skipped
        #[arg(long)]
        state: Option<OrderState>,
        /// At most this many, from 1 to 10000
        #[arg(long, default_value_t = 50, value_parser = limit)]
        limit: u32,
        /// Only orders with an id below this one
        #[arg(long)]
        before: Option<OrderId>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Fetch orders afresh and forward them, even if unchanged
    #[command(group = ArgGroup::new("which").required(true).args(["ids", "state"]))]
    Resend {
        /// The orders' ids
        ids: Vec<OrderId>,
        /// All orders of this state: failed or gone
        #[arg(long, value_parser = resendable)]
        state: Option<OrderState>,
    },
}

fn limit(text: &str) -> Result<u32, &'static str> {
    match text.parse() {
        Ok(limit @ 1..=10_000) => Ok(limit),
        _ => Err("a whole number from 1 to 10000"),
    }
}

/// What is delivered is not resent in bulk: each order sent again may be money asked for again.
fn resendable(text: &str) -> Result<OrderState, &'static str> {
    match text.parse() {
        Ok(state @ (OrderState::Failed | OrderState::Gone)) => Ok(state),
        _ => Err("only `failed` or `gone` orders are resent in bulk"),
    }
}

pub(super) async fn run(parts: &Parts, command: OrdersCommand) -> Result<ExitCode, Failure> {
    let (inbox, connection) = (&parts.inbox, parts.connection.id);
    match command {
        OrdersCommand::List { state, limit, before, json } => {
            let orders = inbox.orders(connection, OrderQuery { state, limit, before }).await?;
            if json {
                output::json(&orders)?;
            } else {
                let time = |at: Option<Timestamp>| at.map_or_else(|| "-".to_owned(), |at| at.to_string());
                let rows: Vec<[String; 6]> = orders
                    .into_iter()
                    .map(|row| {
                        [
                            row.order_id.to_string(),
                            row.state.name().to_owned(),
                            row.attempts.to_string(),
                            row.last_event_at.to_string(),
                            time(row.delivered_at),
                            row.last_error.unwrap_or_else(|| "-".to_owned()),
                        ]
                    })
                    .collect();
                output::table(["ORDER", "STATE", "ATTEMPTS", "LAST EVENT", "DELIVERED", "LAST ERROR"], &rows)?;
            }
        }
        OrdersCommand::Resend { ids, state } => {
            let now = Timestamp::now();
            let count = match state {
                Some(state) => inbox.want_all(connection, state, now).await?,
                None => {
                    let count = ids.len() as u64;
                    inbox.want(connection, ids, true, now).await?;
                    count
                }
            };
            let orders = words::count(count, "order");
            let by = if parts.is_served().await? { "by the running relay" } else { "once a relay runs: none does now" };
            output::line(format!("{orders} will be sent again, {by}"))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
