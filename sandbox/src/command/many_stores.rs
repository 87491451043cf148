//! The sandbox with many stores in one relay (`--stores`).

use std::{error::Error, time::Instant};

use sandbox::{relay::ADMIN_TOKEN, stores::ManyStores};

use super::{Session, one_store::PAUSE, options::Options, output::count};

/// Runs it until it is done or stopped. False if orders of a store are missing, doubled or stale.
pub async fn run(stores: usize, options: &Options, port: u16, session: &Session) -> Result<bool, Box<dyn Error>> {
    if stores == 0 {
        return Err("--stores: at least one".into());
    }
    let (out, folder) = (&session.out, tempfile::tempdir()?);
    let began = Instant::now();
    let mut many = tokio::select! {
        many = ManyStores::start(stores, port, folder.path()) => many?,
        () = session.stop.cancelled() => return Ok(!options.exit),
    };
    let (bigcommerce, woocommerce) = many.counts();
    out.paragraph(format_args!(
        "{} and {}, one One Tribe, and one relay between them; connected, with their webhooks, in {:.1} s. All of it runs \
         on this computer, and nothing of it is left when it ends.",
        count(bigcommerce, "simulated BigCommerce store"),
        count(woocommerce, "WooCommerce shop"),
        began.elapsed().as_secs_f64()
    ));
    out.gap();
    out.line(format_args!("  the relay's list of them   {}", many.relay().url("/connections")));
    out.line(format_args!("                             (any user name, password {ADMIN_TOKEN})"));
    out.gap();
    for _ in 0..options.orders_for(stores) {
        many.place();
    }
    let began = Instant::now();
    let arrived = tokio::select! {
        arrived = many.arrived(options.patience()) => Some(arrived),
        () = session.stop.cancelled() => None,
    };
    let mut is_clean = count_up(&many, began, session).await? && arrived == Some(many.placed());
    if arrived.is_some() && !options.exit {
        out.gap();
        out.line(format_args!("A new order every {} seconds, in the next store each, until Ctrl-C.", PAUSE.as_secs()));
        loop {
            tokio::select! {
                () = session.stop.cancelled() => break,
                () = tokio::time::sleep(PAUSE) => many.place(),
            }
        }
        out.gap();
        is_clean &= count_up(&many, began, session).await?;
    }
    many.stop().await?;
    Ok(is_clean)
}

/// Prints what has arrived, and in which stores orders are missing, doubled or stale. True if in none.
async fn count_up(many: &ManyStores, began: Instant, session: &Session) -> Result<bool, Box<dyn Error>> {
    let out = &session.out;
    let took = began.elapsed().as_secs_f64();
    let books = many.audit().await?;
    let unclean: Vec<_> = books.iter().filter(|(_, report)| !report.is_clean()).collect();
    for (name, report) in &unclean {
        out.paragraph(format_args!("{name}: {report}"));
    }
    out.line(format_args!("{} of {} arrived in {took:.1} s", many.taken(), count(many.placed(), "order")));
    out.paragraph(format_args!(
        "{} of {} with no order missing, none delivered twice, and none in an older state after a newer one",
        books.len() - unclean.len(),
        count(books.len(), "store")
    ));
    Ok(unclean.is_empty())
}
