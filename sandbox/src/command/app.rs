//! The single-click app, to be tried with a browser.

use std::{error::Error, time::Duration};

use sandbox::{app::AppWorld, relay::ADMIN_TOKEN};

use super::{Session, output::count};

/// Runs it until it is stopped.
pub async fn run(stores: usize, port: u16, session: &Session) -> Result<bool, Box<dyn Error>> {
    if stores == 0 {
        return Err("--stores: at least one".into());
    }
    let (out, folder) = (&session.out, tempfile::tempdir()?);
    let world = AppWorld::start_on(port, stores, folder.path()).await?;
    out.line(format_args!("  simulated BigCommerce control panel   {}", world.panel.page_origin()));
    out.line(format_args!("  the relay's list of connections       {}", world.url("/connections")));
    out.line(format_args!("                                        (any user, password {ADMIN_TOKEN})"));
    out.line("  the payload URL to paste in the app:");
    // On a line of its own: the URL is too long to follow a label.
    out.line(world.sink.url());
    out.gap();
    out.hanging("1. ", "Open the control panel, choose a store, and press Install: the app's page opens in its frame.");
    out.hanging(
        "2. ",
        "Paste the payload URL and press Connect. Place order, then Check Integration: the order was forwarded.",
    );
    out.hanging(
        "3. ",
        "Go back to the store. Open shows the page again; Uninstall ends it; Install takes it up where it was.",
    );
    out.gap();
    out.line("Orders that arrive at One Tribe are shown here, until Ctrl-C.");
    let mut shown = 0;
    loop {
        tokio::select! {
            () = session.stop.cancelled() => break,
            () = tokio::time::sleep(Duration::from_millis(200)) => {}
        }
        let accepted = world.sink.accepted();
        for one in accepted.iter().skip(shown) {
            out.line(format_args!("order {} arrived", one.order_id));
        }
        shown = accepted.len();
    }
    out.gap();
    out.line(format_args!("{} arrived.", count(world.sink.accepted_orders(), "order")));
    world.stop().await?;
    Ok(true)
}
